#include "textflag.h"

// The loops for AVX-512. The last elements, if they do not fill a vector, are read and written under the mask K1.

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

BINARY(·add512, NONE, ADD)
BINARY(·sub512, NONE, SUB)
BINARY(·mul512, NONE, MUL)
BINARY(·div512, NONE, DIV)
BINARY(·larger512, NONE, LARGER)
BINARY(·silu1x512, LOAD1, SILU1)
BINARY(·silu2x512, LOAD2, SILU2)
SCALAR(·addScalar512, NONE, ADDS)
SCALAR(·subScalar512, NONE, SUBS)
SCALAR(·scalarSub512, NONE, SFROM)
SCALAR(·mulScalar512, NONE, MULS)
SCALAR(·divScalar512, NONE, DIVS)
SCALAR(·scalarDiv512, NONE, SOVER)
SCALAR(·expShifted512, EXPCONSTANTS, EXPSHIFTED)
AFFINELOOP(·affine512)
UNARY(·exp512, EXPCONSTANTS, EXP)
UNARY(·sigmoid512, LOADSIGMOID, SIGMOID)
UNARY(·sqrt512, NONE, SQRT)
UNARY(·step512, LOADSTEP, STEP)
FILL(·fill512)

// func copyColumns512(dst *float32, dstStride int, src *float32, at, srcStride, rows, load, store int)
TEXT ·copyColumns512(SB), NOSPLIT, $0-64
	COLUMNS
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

// LANES adds the CX elements at SI to the 32 running sums: sums 0 to 15 are in Z0, and 16 to 31 in Z1.
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
	FOLD(VADDPS, VADDSS)
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
	FOLD(VMAXPS, VMAXSS)
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET
