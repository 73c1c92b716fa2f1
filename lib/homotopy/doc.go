// Package homotopy defines the path from noise to data, and the objectives that train a potential whose gradient flow
// follows this path. It holds the mathematics of the method, Variational Potential Flow (arXiv 2407.15238, called the
// paper; arXiv 2504.16262 is its follow-up, whose authors released code). Comments elsewhere cite the equations below
// by name.
//
// Notation: d dimensions of a sample; x̄ a data point; eps standard normal noise; t the time, from 0 (noise) to 1
// (data); x a point of the path; ' the derivative in t.
//
// # The path
//
//	H1  prior q(x) = N(0, w² I), likelihood p(x̄|x) = N(x̄; x, n² I)
//	H2  conditional homotopy rho(x|x̄,t) ∝ q(x)^a(t)·p(x̄|x)^b(t) = N(x; mu·x̄, sigma² I),
//	    1/sigma² = a/w² + b/n², mu = sigma²·b/n²
//	H3  marginal homotopy rhobar(x,t) = E_x̄ rho(x|x̄,t): the prior at t = 0, nearly the data at t = 1
//	H4  x_t = mu·x̄ + sigma·eps, and its velocity v = mu'·x̄ + sigma'·eps
//
// The schedules are members of H2. Each is described in a separate file:
//
//	linear  mu = t                sigma = w(1-t)
//	vapo    mu = t/(n²/w² + t)    sigma² = n²/(n²/w² + t); the paper's, the only one that is defined beyond t = 1
//	cosine  mu = sin(pi t/2)      sigma = w cos(pi t/2)
//	vp      mu = exp(-1/2 ∫beta)  sigma² = w²(1-mu²); mu(0) = 0.0066, so it starts only nearly at the prior
//
// # The potential
//
// A network models one scalar function, the potential Phi(x,t). The flow dx/dt = grad Phi carries samples of the prior
// along rhobar if grad Phi is the mean velocity of the path at x. The mean velocity is itself a gradient (L6), so
// nothing is lost by learning a scalar.
//
//	L1  innovation gamma = a'·|x|²/w² + b'·|x̄-x|²/n², with mean gammabar(x̄,t) under rho
//	L2  d rhobar/dt = -1/2 E_x̄[rho·(gamma - gammabar)]
//	L3  grad Phi follows rhobar if and only if div(rhobar·grad Phi) = 1/2 E_x̄[rho·(gamma - gammabar)]
//	L6  E[v|x] = (mu'/mu)·x + g·grad log rhobar(x,t), g = sigma·(sigma·mu'/mu - sigma');
//	    so Phi = mu'|x|²/(2mu) + g·log rhobar(x,t) + c(t), where c(t) is arbitrary
//
// If the velocity in t spans orders of magnitude, a schedule integrates in another variable s. The network then models
// Psi = dt/ds·Phi, whose gradient is the velocity per unit of s.
//
// # The objectives
//
//	L4  energy, the Deep Ritz form of L3: 1/2 E|grad Phi|² + 1/2 E[Phi·(gamma - gammabar)], where
//	    1/2 (gamma - gammabar) = -(sigma'/sigma)(|eps|² - d) - (mu'/sigma) eps·x̄
//	L5  L4 = 1/2 E|grad Phi - v|² - 1/2 E|v|². The objective matching is the first term: the same minimiser and the same
//	    expected gradient at a fraction of the variance
//	L7  hybrid, the loss of the released code, on linear (means over the batch; mean_d over dimensions; Gamma less its
//	    batch mean): E[Gamma·Phi]/(std(Gamma)·std(Phi) + 1e-8) - E mean_d(grad Phi·v)/(|grad Phi|·|v| + 1e-8)^t
//	    + 1/2 E mean_d(grad Phi)² + 1/10 E(dPhi/dt)², Gamma = (1-t)·mean_d(eps² - x̄·eps/w)
//
// # Rivals
//
// For comparison, the package also defines objectives for networks f(x,t) that have as many outputs as inputs and no
// potential.
//
//	R1  velocity, flow matching (Lipman et al., arXiv 2210.02747, equation 9): E|f - v|², and dx/dt = f
//	R2  denoising, score matching (Ho et al., arXiv 2006.11239, equation 14; Song et al., arXiv 2011.13456): E|f - eps|²,
//	    and dx/dt = (mu'/mu)·x - (sigma·mu'/mu - sigma')·f, the probability flow: L6 with grad log rhobar = -f/sigma
//
// Each objective is averaged over training times (see Times) with a weight for each time (see Weighted). Neither the
// distribution of times nor the weights change which potential is optimal at a given time. The exception is hybrid,
// whose batch statistics mix times.
package homotopy
