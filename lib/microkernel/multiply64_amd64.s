#include "textflag.h"

// The kernels of multiply_amd64.s in float64, with the same registers.

#define PROLOGUE \
	MOVQ k+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ off+24(FP), R8 \
	MOVQ c+32(FP), DX; MOVQ stride+40(FP), R10; SHLQ $3, R10; MOVQ rows+48(FP), R11 \
	MOVQ add+64(FP), AX

#define NEXT ADDQ $128, SI; ADDQ $8, R8; DECQ CX
#define DOWN DECQ R11; JEQ done; ADDQ R10, DX

// AVX-512: eight rows, the last vector of a row under the mask K4.

#define MASK MOVQ mask+56(FP), R9; KMOVW R9, K4
#define ZERO(z) VPXORD z, z, z
#define ROW1(at, z, c0) VFMADD231PD.BCST at(SI), Z24, c0
#define ROW2(at, z, c0, c1) VBROADCASTSD at(SI), z; VFMADD231PD z, Z24, c0; VFMADD231PD z, Z25, c1
#define ROW3(at, z, c0, c1, c2) VBROADCASTSD at(SI), z; VFMADD231PD z, Z24, c0; VFMADD231PD z, Z25, c1; \
	VFMADD231PD z, Z26, c2
#define LAST(at, cl) TESTQ AX, AX; JEQ 3(PC); VMOVUPD.Z at(DX), K4, Z31; VADDPD Z31, cl, cl; VMOVUPD cl, K4, at(DX)
#define FULL(at, cf) TESTQ AX, AX; JEQ 2(PC); VADDPD at(DX), cf, cf; VMOVUPD cf, at(DX)
#define OUT1(c0) LAST(0, c0); DOWN
#define OUT2(c0, c1) FULL(0, c0); LAST(64, c1); DOWN
#define OUT3(c0, c1, c2) FULL(0, c0); FULL(64, c1); LAST(128, c2); DOWN

// AVX2: four rows; kernels of one and two vectors have the mask Y14 for the last of them.

#define MASKY MOVQ mask+56(FP), R9; VMOVUPD (R9), Y14
#define ZEROY(y) VXORPD y, y, y
#define ROWY1(at, c0) VBROADCASTSD at(SI), Y15; VFMADD231PD Y15, Y12, c0
#define ROWY2(at, c0, c1) VBROADCASTSD at(SI), Y15; VFMADD231PD Y15, Y12, c0; VFMADD231PD Y15, Y13, c1
#define ROWY3(at, c0, c1, c2) VBROADCASTSD at(SI), Y15; VFMADD231PD Y15, Y12, c0; VFMADD231PD Y15, Y13, c1; \
	VFMADD231PD Y15, Y14, c2
#define LASTY(at, cl) TESTQ AX, AX; JEQ 3(PC); VMASKMOVPD at(DX), Y14, Y13; VADDPD Y13, cl, cl; VMASKMOVPD cl, Y14, at(DX)
#define OUTY1(c0) LASTY(0, c0); DOWN
#define OUTY2(c0, c1) FULL(0, c0); LASTY(32, c1); DOWN
#define OUTY3(c0, c1, c2) FULL(0, c0); FULL(32, c1); FULL(64, c2); DOWN

// func kernel8x3x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)
TEXT ·kernel8x3x8f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO(Z0)
	ZERO(Z1)
	ZERO(Z2)
	ZERO(Z3)
	ZERO(Z4)
	ZERO(Z5)
	ZERO(Z6)
	ZERO(Z7)
	ZERO(Z8)
	ZERO(Z9)
	ZERO(Z10)
	ZERO(Z11)
	ZERO(Z12)
	ZERO(Z13)
	ZERO(Z14)
	ZERO(Z15)
	ZERO(Z16)
	ZERO(Z17)
	ZERO(Z18)
	ZERO(Z19)
	ZERO(Z20)
	ZERO(Z21)
	ZERO(Z22)
	ZERO(Z23)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMOVUPD (DI)(R9*8), Z24
	VMOVUPD 64(DI)(R9*8), Z25
	VMOVUPD.Z 128(DI)(R9*8), K4, Z26
	ROW3(0, Z27, Z0, Z1, Z2)
	ROW3(8, Z28, Z3, Z4, Z5)
	ROW3(16, Z29, Z6, Z7, Z8)
	ROW3(24, Z30, Z9, Z10, Z11)
	ROW3(32, Z27, Z12, Z13, Z14)
	ROW3(40, Z28, Z15, Z16, Z17)
	ROW3(48, Z29, Z18, Z19, Z20)
	ROW3(56, Z30, Z21, Z22, Z23)
	NEXT
	JNE loop
	OUT3(Z0, Z1, Z2)
	OUT3(Z3, Z4, Z5)
	OUT3(Z6, Z7, Z8)
	OUT3(Z9, Z10, Z11)
	OUT3(Z12, Z13, Z14)
	OUT3(Z15, Z16, Z17)
	OUT3(Z18, Z19, Z20)
	OUT3(Z21, Z22, Z23)
done:
	VZEROUPPER
	RET

// func kernel8x2x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)
TEXT ·kernel8x2x8f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO(Z0)
	ZERO(Z1)
	ZERO(Z2)
	ZERO(Z3)
	ZERO(Z4)
	ZERO(Z5)
	ZERO(Z6)
	ZERO(Z7)
	ZERO(Z8)
	ZERO(Z9)
	ZERO(Z10)
	ZERO(Z11)
	ZERO(Z12)
	ZERO(Z13)
	ZERO(Z14)
	ZERO(Z15)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMOVUPD (DI)(R9*8), Z24
	VMOVUPD.Z 64(DI)(R9*8), K4, Z25
	ROW2(0, Z27, Z0, Z1)
	ROW2(8, Z28, Z2, Z3)
	ROW2(16, Z29, Z4, Z5)
	ROW2(24, Z30, Z6, Z7)
	ROW2(32, Z27, Z8, Z9)
	ROW2(40, Z28, Z10, Z11)
	ROW2(48, Z29, Z12, Z13)
	ROW2(56, Z30, Z14, Z15)
	NEXT
	JNE loop
	OUT2(Z0, Z1)
	OUT2(Z2, Z3)
	OUT2(Z4, Z5)
	OUT2(Z6, Z7)
	OUT2(Z8, Z9)
	OUT2(Z10, Z11)
	OUT2(Z12, Z13)
	OUT2(Z14, Z15)
done:
	VZEROUPPER
	RET

// func kernel8x1x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)
TEXT ·kernel8x1x8f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO(Z0)
	ZERO(Z1)
	ZERO(Z2)
	ZERO(Z3)
	ZERO(Z4)
	ZERO(Z5)
	ZERO(Z6)
	ZERO(Z7)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMOVUPD.Z (DI)(R9*8), K4, Z24
	ROW1(0, Z27, Z0)
	ROW1(8, Z28, Z1)
	ROW1(16, Z29, Z2)
	ROW1(24, Z30, Z3)
	ROW1(32, Z27, Z4)
	ROW1(40, Z28, Z5)
	ROW1(48, Z29, Z6)
	ROW1(56, Z30, Z7)
	NEXT
	JNE loop
	OUT1(Z0)
	OUT1(Z1)
	OUT1(Z2)
	OUT1(Z3)
	OUT1(Z4)
	OUT1(Z5)
	OUT1(Z6)
	OUT1(Z7)
done:
	VZEROUPPER
	RET

// func kernel4x3x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)
TEXT ·kernel4x3x4f64(SB), NOSPLIT, $0-72
	PROLOGUE
	ZEROY(Y0)
	ZEROY(Y1)
	ZEROY(Y2)
	ZEROY(Y3)
	ZEROY(Y4)
	ZEROY(Y5)
	ZEROY(Y6)
	ZEROY(Y7)
	ZEROY(Y8)
	ZEROY(Y9)
	ZEROY(Y10)
	ZEROY(Y11)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMOVUPD (DI)(R9*8), Y12
	VMOVUPD 32(DI)(R9*8), Y13
	VMOVUPD 64(DI)(R9*8), Y14
	ROWY3(0, Y0, Y1, Y2)
	ROWY3(8, Y3, Y4, Y5)
	ROWY3(16, Y6, Y7, Y8)
	ROWY3(24, Y9, Y10, Y11)
	NEXT
	JNE loop
	OUTY3(Y0, Y1, Y2)
	OUTY3(Y3, Y4, Y5)
	OUTY3(Y6, Y7, Y8)
	OUTY3(Y9, Y10, Y11)
done:
	VZEROUPPER
	RET

// func kernel4x2x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)
TEXT ·kernel4x2x4f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASKY
	ZEROY(Y0)
	ZEROY(Y1)
	ZEROY(Y2)
	ZEROY(Y3)
	ZEROY(Y4)
	ZEROY(Y5)
	ZEROY(Y6)
	ZEROY(Y7)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMOVUPD (DI)(R9*8), Y12
	VMASKMOVPD 32(DI)(R9*8), Y14, Y13
	ROWY2(0, Y0, Y1)
	ROWY2(8, Y2, Y3)
	ROWY2(16, Y4, Y5)
	ROWY2(24, Y6, Y7)
	NEXT
	JNE loop
	OUTY2(Y0, Y1)
	OUTY2(Y2, Y3)
	OUTY2(Y4, Y5)
	OUTY2(Y6, Y7)
done:
	VZEROUPPER
	RET

// func kernel4x1x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)
TEXT ·kernel4x1x4f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASKY
	ZEROY(Y0)
	ZEROY(Y1)
	ZEROY(Y2)
	ZEROY(Y3)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMASKMOVPD (DI)(R9*8), Y14, Y12
	ROWY1(0, Y0)
	ROWY1(8, Y1)
	ROWY1(16, Y2)
	ROWY1(24, Y3)
	NEXT
	JNE loop
	OUTY1(Y0)
	OUTY1(Y1)
	OUTY1(Y2)
	OUTY1(Y3)
done:
	VZEROUPPER
	RET
