#include "textflag.h"

// ROW multiplies V24 to V26 by a lane of register a and adds the products to the three vectors of sums of a row.
#define ROW(a, lane, c0, c1, c2) \
	VDUP a.S[lane], V29.S4; \
	VFMLA V24.S4, V29.S4, c0.S4; VFMLA V25.S4, V29.S4, c1.S4; VFMLA V26.S4, V29.S4, c2.S4

// OUT writes the sums of a row, or adds them to c. The assembler has no addition of vectors, but 1·c + sum also rounds
// only once.
#define OUT(c0, c1, c2) \
	CBZ R7, 5(PC); VLD1 (R4), [V24.S4, V25.S4, V26.S4]; \
	VFMLA V24.S4, V30.S4, c0.S4; VFMLA V25.S4, V30.S4, c1.S4; VFMLA V26.S4, V30.S4, c2.S4; \
	VST1 [c0.S4, c1.S4, c2.S4], (R4); SUBS $1, R6; BEQ done; ADD R5, R4

#define ZERO(v) VEOR v.B16, v.B16, v.B16

// func kernel8x3x4(k int, a, b *float32, off *int, c *float32, stride, rows, add int)
TEXT ·kernel8x3x4(SB), NOSPLIT, $0-64
	MOVD k+0(FP), R0
	MOVD a+8(FP), R1
	MOVD b+16(FP), R2
	MOVD off+24(FP), R3
	MOVD c+32(FP), R4
	MOVD stride+40(FP), R5
	LSL $2, R5
	MOVD rows+48(FP), R6
	MOVD add+56(FP), R7
	FMOVS $1.0, F30
	VDUP V30.S[0], V30.S4
	ZERO(V0); ZERO(V1); ZERO(V2); ZERO(V3); ZERO(V4); ZERO(V5)
	ZERO(V6); ZERO(V7); ZERO(V8); ZERO(V9); ZERO(V10); ZERO(V11)
	ZERO(V12); ZERO(V13); ZERO(V14); ZERO(V15); ZERO(V16); ZERO(V17)
	ZERO(V18); ZERO(V19); ZERO(V20); ZERO(V21); ZERO(V22); ZERO(V23)
loop:
	MOVD.P 8(R3), R9
	ADD R9<<2, R2, R10
	VLD1 (R10), [V24.S4, V25.S4, V26.S4]
	VLD1 (R1), [V27.S4, V28.S4]
	ADD $64, R1
	ROW(V27, 0, V0, V1, V2)
	ROW(V27, 1, V3, V4, V5)
	ROW(V27, 2, V6, V7, V8)
	ROW(V27, 3, V9, V10, V11)
	ROW(V28, 0, V12, V13, V14)
	ROW(V28, 1, V15, V16, V17)
	ROW(V28, 2, V18, V19, V20)
	ROW(V28, 3, V21, V22, V23)
	SUBS $1, R0
	BNE loop
	OUT(V0, V1, V2)
	OUT(V3, V4, V5)
	OUT(V6, V7, V8)
	OUT(V9, V10, V11)
	OUT(V12, V13, V14)
	OUT(V15, V16, V17)
	OUT(V18, V19, V20)
	OUT(V21, V22, V23)
done:
	RET
