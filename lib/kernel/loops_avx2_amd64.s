#include "textflag.h"

// The loops for AVX2. The last elements, if they do not fill a vector, are read under the mask Y3. They are written
// four, two and one at a time, because a VMASKMOVPS to memory takes dozens of cycles on AMD processors.

#define V0 Y0
#define V1 Y1
#define V2 Y2
#define V4 Y4
#define V5 Y5
#define V6 Y6
#define V7 Y7
#define V8 Y8
#define V9 Y9
#define V10 Y10
#define V11 Y11
#define V12 Y12
#define V13 Y13
#define V14 Y14
#define V15 Y15
#define VN 8
#define VB 32

#define TAIL MOVQ $32, AX; SUBQ CX, AX; LEAQ ·masks(SB), R8; VMOVUPS (R8)(AX*4), Y3
#define LOADM(p, v) VMASKMOVPS (p), Y3, v
#define STOREM \
	BTQ $2, CX; JCC 4(PC); VMOVUPS X0, (DI); ADDQ $16, DI; VEXTRACTF128 $1, Y0, X0; \
	BTQ $1, CX; JCC 4(PC); VMOVSD X0, (DI); ADDQ $8, DI; VPERMILPS $0x0e, X0, X0; \
	BTQ $0, CX; JCC 2(PC); VMOVSS X0, (DI)
#define ZERO(v) VXORPS v, v, v
#define FLOOR(v) VROUNDPS $1, v, v
#define LIMITS \
	VCMPPS $30, limits<>+0(SB), Y0, Y4; VBLENDVPS Y4, limits<>+64(SB), Y5, Y5; \
	VCMPPS $17, limits<>+32(SB), Y0, Y4; VANDNPS Y5, Y4, Y5; \
	VCMPPS $3, Y0, Y0, Y4; VBLENDVPS Y4, Y0, Y5, Y0
#define STEP VCMPPS $30, Y2, Y0, Y0; VANDPS Y6, Y0, Y0
#define LARGER VCMPPS $7, Y0, Y0, Y4; VCMPPS $25, Y1, Y0, Y5; VANDPS Y5, Y4, Y4; VBLENDVPS Y4, Y1, Y0, Y0

DATA limits<>+0(SB)/8, $0x42b1721842b17218 // expHigh
DATA limits<>+8(SB)/8, $0x42b1721842b17218
DATA limits<>+16(SB)/8, $0x42b1721842b17218
DATA limits<>+24(SB)/8, $0x42b1721842b17218
DATA limits<>+32(SB)/8, $0xc2aeac50c2aeac50 // expLow
DATA limits<>+40(SB)/8, $0xc2aeac50c2aeac50
DATA limits<>+48(SB)/8, $0xc2aeac50c2aeac50
DATA limits<>+56(SB)/8, $0xc2aeac50c2aeac50
DATA limits<>+64(SB)/8, $0x7f8000007f800000 // infinity
DATA limits<>+72(SB)/8, $0x7f8000007f800000
DATA limits<>+80(SB)/8, $0x7f8000007f800000
DATA limits<>+88(SB)/8, $0x7f8000007f800000
GLOBL limits<>(SB), RODATA|NOPTR, $96

#include "loops_amd64.h"

BINARY(·add256, NONE, ADD)
BINARY(·sub256, NONE, SUB)
BINARY(·mul256, NONE, MUL)
BINARY(·div256, NONE, DIV)
BINARY(·larger256, NONE, LARGER)
BINARY(·silu1x256, LOAD1, SILU1)
BINARY(·silu2x256, LOAD2, SILU2)
SCALAR(·addScalar256, NONE, ADDS)
SCALAR(·subScalar256, NONE, SUBS)
SCALAR(·scalarSub256, NONE, SFROM)
SCALAR(·mulScalar256, NONE, MULS)
SCALAR(·divScalar256, NONE, DIVS)
SCALAR(·scalarDiv256, NONE, SOVER)
SCALAR(·expShifted256, EXPCONSTANTS, EXPSHIFTED)
AFFINELOOP(·affine256)
UNARY(·exp256, EXPCONSTANTS, EXP)
UNARY(·sigmoid256, LOADSIGMOID, SIGMOID)
UNARY(·sqrt256, NONE, SQRT)
UNARY(·step256, LOADSTEP, STEP)
FILL(·fill256)

// func copyColumns256(dst *float32, dstStride int, src *float32, at, srcStride, rows int, load *[8]int32, store int)
TEXT ·copyColumns256(SB), NOSPLIT, $0-64
	COLUMNS
	MOVQ rows+40(FP), R9
	MOVQ load+48(FP), AX
	VMOVUPS (AX), Y3
	MOVQ store+56(FP), CX
	CMPQ CX, $8
	JLT part
whole:
	VMASKMOVPS (SI), Y3, Y0
	VMOVUPS Y0, (DI)
	ADDQ DX, SI
	ADDQ R10, DI
	DECQ R9
	JNE whole
	VZEROUPPER
	RET
part:
	VMASKMOVPS (SI), Y3, Y0
	MOVQ DI, R8
	STOREM
	LEAQ (R8)(R10*1), DI
	ADDQ DX, SI
	DECQ R9
	JNE part
	VZEROUPPER
	RET

// LANES adds the CX elements at SI to the 32 running sums in Y0, Y1, Y2 and Y4. Under the mask, 0 is added to the sums
// that have no element left. This changes no bit, because a sum that started from 0 is never -0.
#define LANES \
	SUBQ $32, CX; JLT rest; \
four: \
	VADDPS (SI), Y0, Y0; VADDPS 32(SI), Y1, Y1; VADDPS 64(SI), Y2, Y2; VADDPS 96(SI), Y4, Y4; \
	ADDQ $128, SI; SUBQ $32, CX; JGE four; \
rest: \
	ADDQ $32, CX; JEQ done; TAIL; \
	VMASKMOVPS (SI), Y3, Y5; VADDPS Y5, Y0, Y0; \
	VMOVUPS 32(R8)(AX*4), Y3; VMASKMOVPS 32(SI), Y3, Y5; VADDPS Y5, Y1, Y1; \
	VMOVUPS 64(R8)(AX*4), Y3; VMASKMOVPS 64(SI), Y3, Y5; VADDPS Y5, Y2, Y2; \
	VMOVUPS 96(R8)(AX*4), Y3; VMASKMOVPS 96(SI), Y3, Y5; VADDPS Y5, Y4, Y4; \
done:

// func addLanes256(lanes *[32]float32, v *float32, n int)
TEXT ·addLanes256(SB), NOSPLIT, $0-24
	MOVQ lanes+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ n+16(FP), CX
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y4
	LANES
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y4, 96(DI)
	VZEROUPPER
	RET

// func sum256(v *float32, n int) float32
TEXT ·sum256(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ n+8(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y4, Y4, Y4
	LANES
	VADDPS Y2, Y0, Y0
	VADDPS Y4, Y1, Y1
	VADDPS Y1, Y0, Y0
	FOLD(VADDPS, VADDSS)
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func largest256(v *float32, n int) float32
TEXT ·largest256(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS (SI), Y2
	VMOVAPS Y2, Y0
	SUBQ $8, CX
	JLT rest
one:
	VMAXPS (SI), Y0, Y0
	ADDQ $32, SI
	SUBQ $8, CX
	JGE one
rest:
	ADDQ $8, CX
	JEQ done
	TAIL
	VMASKMOVPS (SI), Y3, Y1
	VBLENDVPS Y3, Y1, Y2, Y1
	VMAXPS Y1, Y0, Y0
done:
	FOLD(VMAXPS, VMAXSS)
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET
