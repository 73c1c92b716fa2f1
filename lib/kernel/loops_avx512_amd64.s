#include "textflag.h"

// The loops for AVX-512. Elements that do not fill a vector are read and written under the mask K1.

#define V0 Z0
#define V1 Z1
#define V2 Z2
#define V4 Z4
#define V5 Z5
#define V6 Z6
#define V7 Z7
#define V8 Z8
#define V9 Z9
#define V10 Z10
#define V11 Z11
#define V12 Z12
#define V13 Z13
#define V14 Z14
#define V15 Z15
#define VN 16
#define VB 64

#define TAIL MOVQ $1, AX; SHLQ CX, AX; DECQ AX; KMOVW AX, K1
#define LOADM(p, v) VMOVUPS.Z (p), K1, v
#define STOREM VMOVUPS Z0, K1, (DI)
#define ZERO(v) VPXORD v, v, v
#define FLOOR(v) VRNDSCALEPS $1, v, v
#define LIMITS \
	VCMPPS.BCST $30, limits<>+0(SB), Z0, K2; VBROADCASTSS limits<>+8(SB), K2, Z5; \
	VCMPPS.BCST $17, limits<>+4(SB), Z0, K2; VPXORD Z5, Z5, K2, Z5; \
	VCMPPS $3, Z0, Z0, K2; VMOVAPS Z0, K2, Z5; VMOVAPS Z5, Z0
#define STEP VCMPPS $30, Z2, Z0, K2; VMOVAPS.Z Z6, K2, Z0
#define LARGER VCMPPS $7, Z0, Z0, K2; VCMPPS $25, Z1, Z0, K2, K2; VMOVAPS Z1, K2, Z0

DATA limits<>+0(SB)/4, $0x42b17218 // expHigh
DATA limits<>+4(SB)/4, $0xc2aeac50 // expLow
DATA limits<>+8(SB)/4, $0x7f800000 // infinity
GLOBL limits<>(SB), RODATA|NOPTR, $12

#include "loops_amd64.h"

// func add512(dst, a, b *float32, n int)
TEXT ·add512(SB), NOSPLIT, $0-32
	ARGS2
	TWO(ADD)

// func sub512(dst, a, b *float32, n int)
TEXT ·sub512(SB), NOSPLIT, $0-32
	ARGS2
	TWO(SUB)

// func mul512(dst, a, b *float32, n int)
TEXT ·mul512(SB), NOSPLIT, $0-32
	ARGS2
	TWO(MUL)

// func div512(dst, a, b *float32, n int)
TEXT ·div512(SB), NOSPLIT, $0-32
	ARGS2
	TWO(DIV)

// func larger512(dst, a, b *float32, n int)
TEXT ·larger512(SB), NOSPLIT, $0-32
	ARGS2
	TWO(LARGER)

// func silu1x512(dst, a, b *float32, n int)
TEXT ·silu1x512(SB), NOSPLIT, $0-32
	ARGS2
	CONSTANT(0, V6)
	TWO(SILU1)

// func silu2x512(dst, a, b *float32, n int)
TEXT ·silu2x512(SB), NOSPLIT, $0-32
	ARGS2
	CONSTANT(0, V6)
	CONSTANT(4, V7)
	TWO(SILU2)

// func addScalar512(dst, a *float32, s float32, n int)
TEXT ·addScalar512(SB), NOSPLIT, $0-32
	ARGSS
	ONE(ADDS)

// func subScalar512(dst, a *float32, s float32, n int)
TEXT ·subScalar512(SB), NOSPLIT, $0-32
	ARGSS
	ONE(SUBS)

// func scalarSub512(dst, a *float32, s float32, n int)
TEXT ·scalarSub512(SB), NOSPLIT, $0-32
	ARGSS
	ONE(SFROM)

// func mulScalar512(dst, a *float32, s float32, n int)
TEXT ·mulScalar512(SB), NOSPLIT, $0-32
	ARGSS
	ONE(MULS)

// func divScalar512(dst, a *float32, s float32, n int)
TEXT ·divScalar512(SB), NOSPLIT, $0-32
	ARGSS
	ONE(DIVS)

// func scalarDiv512(dst, a *float32, s float32, n int)
TEXT ·scalarDiv512(SB), NOSPLIT, $0-32
	ARGSS
	ONE(SOVER)

// func expShifted512(dst, a *float32, s float32, n int)
TEXT ·expShifted512(SB), NOSPLIT, $0-32
	ARGSS
	EXPCONSTANTS
	ONE(EXPSHIFTED)

// func affine512(dst, a *float32, p, q float32, n int)
TEXT ·affine512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	VBROADCASTSS p+16(FP), V2
	VBROADCASTSS q+20(FP), V5
	MOVQ n+24(FP), CX
	ONE(AFFINE)

// func exp512(dst, a *float32, n int)
TEXT ·exp512(SB), NOSPLIT, $0-24
	ARGS1
	EXPCONSTANTS
	ONE(EXP)

// func sigmoid512(dst, a *float32, n int)
TEXT ·sigmoid512(SB), NOSPLIT, $0-24
	ARGS1
	EXPCONSTANTS
	ZERO(V2)
	ONE(SIGMOID)

// func sqrt512(dst, a *float32, n int)
TEXT ·sqrt512(SB), NOSPLIT, $0-24
	ARGS1
	ONE(SQRT)

// func step512(dst, a *float32, n int)
TEXT ·step512(SB), NOSPLIT, $0-24
	ARGS1
	CONSTANT(0, V6)
	ZERO(V2)
	ONE(STEP)

// func fill512(dst *float32, s float32, n int)
TEXT ·fill512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	VBROADCASTSS s+8(FP), V0
	MOVQ n+16(FP), CX
	FILL

// func copyColumns512(dst *float32, dstStep int, src *float32, at, srcStep, rows, load, store int)
TEXT ·copyColumns512(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ dstStep+8(FP), R10
	SHLQ $2, R10
	MOVQ src+16(FP), SI
	MOVQ at+24(FP), AX
	LEAQ (SI)(AX*4), SI
	MOVQ srcStep+32(FP), DX
	SHLQ $2, DX
	MOVQ rows+40(FP), CX
	MOVQ load+48(FP), AX
	KMOVW AX, K1
	MOVQ store+56(FP), AX
	KMOVW AX, K2
	LEAQ (SI)(DX*1), R8
	LEAQ (DI)(R10*1), R9
	SUBQ $2, CX
	JLT odd
pair:
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS.Z (R8), K1, Z1
	VMOVUPS Z0, K2, (DI)
	VMOVUPS Z1, K2, (R9)
	LEAQ (SI)(DX*2), SI
	LEAQ (R8)(DX*2), R8
	LEAQ (DI)(R10*2), DI
	LEAQ (R9)(R10*2), R9
	SUBQ $2, CX
	JGE pair
odd:
	ADDQ $2, CX
	JEQ done
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS Z0, K2, (DI)
done:
	VZEROUPPER
	RET

// Adds the CX elements at SI to the lanes' sums, 0 to 15 in Z0 and 16 to 31 in Z1.
#define LANES \
	SUBQ $32, CX; JLT rest; \
pair: \
	VADDPS (SI), Z0, Z0; VADDPS 64(SI), Z1, Z1; ADDQ $128, SI; SUBQ $32, CX; JGE pair; \
rest: \
	ADDQ $32, CX; JEQ done; MOVQ $1, AX; SHLQ CX, AX; DECQ AX; KMOVW AX, K1; SHRQ $16, AX; KMOVW AX, K2; \
	VMOVUPS.Z (SI), K1, Z2; VADDPS Z2, Z0, K1, Z0; VMOVUPS.Z 64(SI), K2, Z2; VADDPS Z2, Z1, K2, Z1; \
done:

// func addLanes512(lanes *[32]float32, v *float32, n int)
TEXT ·addLanes512(SB), NOSPLIT, $0-24
	MOVQ lanes+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ n+16(FP), CX
	VMOVUPS (DI), Z0
	VMOVUPS 64(DI), Z1
	LANES
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	VZEROUPPER
	RET

// func sum512(v *float32, n int) float32
TEXT ·sum512(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ n+8(FP), CX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	LANES
	VADDPS Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VPERMILPS $0x0e, X0, X1
	VADDPS X1, X0, X0
	VMOVSHDUP X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func largest512(v *float32, n int) float32
TEXT ·largest512(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS (SI), Z0
	SUBQ $16, CX
	JLT rest
one:
	VMAXPS (SI), Z0, Z0
	ADDQ $64, SI
	SUBQ $16, CX
	JGE one
rest:
	ADDQ $16, CX
	JEQ done
	TAIL
	VMOVUPS.Z (SI), K1, Z1
	VMAXPS Z1, Z0, K1, Z0
done:
	VEXTRACTF64X4 $1, Z0, Y1
	VMAXPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x0e, X0, X1
	VMAXPS X1, X0, X0
	VMOVSHDUP X0, X1
	VMAXSS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET
