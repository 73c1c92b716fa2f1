#include "textflag.h"
#include "rows_amd64.h"

// Registers of all kernels: SI a, DI b, R8 offsets, CX terms left, DX c, R10 bytes from one row of c to the next, R11
// rows left, AX nonzero to add to c. Each row's sums are in the next one, two or three vector registers.

#define PROLOGUE \
	MOVQ k+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ off+24(FP), R8 \
	MOVQ c+32(FP), DX; MOVQ stride+40(FP), R10; SHLQ $2, R10; MOVQ rows+48(FP), R11 \
	MOVQ add+64(FP), AX

#define NEXT ADDQ $64, SI; ADDQ $8, R8; DECQ CX

// AVX-512: eight rows, with the last vector of a row under the mask K4.

#define MASK MOVQ mask+56(FP), R9; KMOVW R9, K4

#define B1 MOVQ (R8), R9; VMOVUPS.Z (DI)(R9*4), K4, Z24
#define B2 MOVQ (R8), R9; VMOVUPS (DI)(R9*4), Z24; VMOVUPS.Z 64(DI)(R9*4), K4, Z25
#define B3 MOVQ (R8), R9; VMOVUPS (DI)(R9*4), Z24; VMOVUPS 64(DI)(R9*4), Z25; VMOVUPS.Z 128(DI)(R9*4), K4, Z26

// AVX2: four rows of one to three vectors. The last vector has R12 elements, under the mask at R13.

#define LASTVECTOR MOVQ last+56(FP), R12; MASKY(R13)

// Eight mask elements that are set, and eight that are not.
DATA ·masks+0(SB)/8, $-1
DATA ·masks+8(SB)/8, $-1
DATA ·masks+16(SB)/8, $-1
DATA ·masks+24(SB)/8, $-1
GLOBL ·masks(SB), RODATA|NOPTR, $64

// func kernel8x3x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel8x3x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO24
	PCALIGN $32
loop:
	B3
	ROW3(0, Z27, Z0, Z1, Z2)
	ROW3(4, Z28, Z3, Z4, Z5)
	ROW3(8, Z29, Z6, Z7, Z8)
	ROW3(12, Z30, Z9, Z10, Z11)
	ROW3(16, Z27, Z12, Z13, Z14)
	ROW3(20, Z28, Z15, Z16, Z17)
	ROW3(24, Z29, Z18, Z19, Z20)
	ROW3(28, Z30, Z21, Z22, Z23)
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

// func kernel8x2x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel8x2x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO16
	PCALIGN $32
loop:
	B2
	ROW2(0, Z27, Z0, Z1)
	ROW2(4, Z28, Z2, Z3)
	ROW2(8, Z29, Z4, Z5)
	ROW2(12, Z30, Z6, Z7)
	ROW2(16, Z27, Z8, Z9)
	ROW2(20, Z28, Z10, Z11)
	ROW2(24, Z29, Z12, Z13)
	ROW2(28, Z30, Z14, Z15)
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

// func kernel8x1x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel8x1x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO8
	PCALIGN $32
loop:
	B1
	ROW1(0, Z27, Z0)
	ROW1(4, Z28, Z1)
	ROW1(8, Z29, Z2)
	ROW1(12, Z30, Z3)
	ROW1(16, Z27, Z4)
	ROW1(20, Z28, Z5)
	ROW1(24, Z29, Z6)
	ROW1(28, Z30, Z7)
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

// func kernel4x3x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel4x3x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	ZERO16
	PCALIGN $32
loop:
	B3
	ROW3(0, Z27, Z0, Z1, Z2)
	ROW3(4, Z28, Z3, Z4, Z5)
	ROW3(8, Z29, Z6, Z7, Z8)
	ROW3(12, Z30, Z9, Z10, Z11)
	NEXT
	JNE loop
	OUT3(Z0, Z1, Z2)
	OUT3(Z3, Z4, Z5)
	OUT3(Z6, Z7, Z8)
	OUT3(Z9, Z10, Z11)
done:
	VZEROUPPER
	RET

// func kernel4x3x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x3x8(SB), NOSPLIT, $0-72
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
	VMOVUPS (DI)(R9*4), Y12
	VMOVUPS 32(DI)(R9*4), Y13
	VMOVUPS 64(DI)(R9*4), Y14
	ROWY3(0, Y0, Y1, Y2)
	ROWY3(4, Y3, Y4, Y5)
	ROWY3(8, Y6, Y7, Y8)
	ROWY3(12, Y9, Y10, Y11)
	NEXT
	JNE loop
	WHOLEY3(Y0, Y1, Y2)
	WHOLEY3(Y3, Y4, Y5)
	WHOLEY3(Y6, Y7, Y8)
	WHOLEY3(Y9, Y10, Y11)
done:
	VZEROUPPER
	RET

// func kernel4x3x8m(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x3x8m(SB), NOSPLIT, $0-72
	PROLOGUE
	LASTVECTOR
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
	VMOVUPS (DI)(R9*4), Y12
	VMOVUPS 32(DI)(R9*4), Y13
	VMOVUPS (R13), Y14
	VMASKMOVPS 64(DI)(R9*4), Y14, Y14
	ROWY3(0, Y0, Y1, Y2)
	ROWY3(4, Y3, Y4, Y5)
	ROWY3(8, Y6, Y7, Y8)
	ROWY3(12, Y9, Y10, Y11)
	NEXT
	JNE loop
	VMOVUPS (R13), Y14
	OUTY3(Y0, Y1, Y2, X2)
	OUTY3(Y3, Y4, Y5, X5)
	OUTY3(Y6, Y7, Y8, X8)
	OUTY3(Y9, Y10, Y11, X11)
done:
	VZEROUPPER
	RET

// func kernel4x2x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x2x8(SB), NOSPLIT, $0-72
	PROLOGUE
	LASTVECTOR
	VMOVUPS (R13), Y14
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
	VMOVUPS (DI)(R9*4), Y12
	VMASKMOVPS 32(DI)(R9*4), Y14, Y13
	ROWY2(0, Y0, Y1)
	ROWY2(4, Y2, Y3)
	ROWY2(8, Y4, Y5)
	ROWY2(12, Y6, Y7)
	NEXT
	JNE loop
	OUTY2(Y0, Y1, X1)
	OUTY2(Y2, Y3, X3)
	OUTY2(Y4, Y5, X5)
	OUTY2(Y6, Y7, X7)
done:
	VZEROUPPER
	RET

// func kernel4x1x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x1x8(SB), NOSPLIT, $0-72
	PROLOGUE
	LASTVECTOR
	VMOVUPS (R13), Y14
	ZEROY(Y0)
	ZEROY(Y1)
	ZEROY(Y2)
	ZEROY(Y3)
	PCALIGN $32
loop:
	MOVQ (R8), R9
	VMASKMOVPS (DI)(R9*4), Y14, Y12
	ROWY1(0, Y0)
	ROWY1(4, Y1)
	ROWY1(8, Y2)
	ROWY1(12, Y3)
	NEXT
	JNE loop
	OUTY1(Y0, X0)
	OUTY1(Y1, X1)
	OUTY1(Y2, X2)
	OUTY1(Y3, X3)
done:
	VZEROUPPER
	RET
