#include "textflag.h"
#include "rows_amd64.h"

// All kernels use these registers: SI is the address of a, DI of b, R8 of the offsets, and DX of c. CX is the number of
// terms left, R11 the number of rows left, and R10 the number of bytes from one row of c to the next. If AX is nonzero,
// the sums are added to c. The sums of a row are in one, two or three vector registers, and the sums of the next row in
// the registers after these.

#define PROLOGUE \
	MOVQ k+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ off+24(FP), R8 \
	MOVQ c+32(FP), DX; MOVQ stride+40(FP), R10; SHLQ $2, R10; MOVQ rows+48(FP), R11 \
	MOVQ add+64(FP), AX

// AVX-512 kernels compute up to eight rows. K4 is the mask of the last vector of a row.

#define MASK MOVQ mask+56(FP), R9; KMOVW R9, K4
#define LOAD1 VMOVUPS.Z (DI)(R9*4), K4, Z24
#define LOAD2 VMOVUPS (DI)(R9*4), Z24; VMOVUPS.Z 64(DI)(R9*4), K4, Z25
#define LOAD3 VMOVUPS (DI)(R9*4), Z24; VMOVUPS 64(DI)(R9*4), Z25; VMOVUPS.Z 128(DI)(R9*4), K4, Z26

// AVX2 kernels compute four rows of one to three vectors. The last vector has R12 elements, and its mask is at R13.
// Kernels with three vectors have no register left for the mask, so they load it in every term.

#define LASTVECTOR MOVQ last+56(FP), R12; MASKY(R13)
#define LOADY1 VMASKMOVPS (DI)(R9*4), Y14, Y12
#define LOADY2 VMOVUPS (DI)(R9*4), Y12; VMASKMOVPS 32(DI)(R9*4), Y14, Y13
#define LOADY3 VMOVUPS (DI)(R9*4), Y12; VMOVUPS 32(DI)(R9*4), Y13; VMOVUPS 64(DI)(R9*4), Y14
#define LOADY3M \
	VMOVUPS (DI)(R9*4), Y12; VMOVUPS 32(DI)(R9*4), Y13; VMOVUPS (R13), Y14; VMASKMOVPS 64(DI)(R9*4), Y14, Y14
#define OUTSY4x3M VMOVUPS (R13), Y14; OUTSY4x3

// func kernel8x3x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel8x3x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO24, LOAD3, ROWS8x3, OUTS8x3)

// func kernel8x2x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel8x2x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO16, LOAD2, ROWS8x2, OUTS8x2)

// func kernel8x1x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel8x1x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO8, LOAD1, ROWS8x1, OUTS8x1)

// func kernel4x3x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)
TEXT ·kernel4x3x16(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO12, LOAD3, ROWS4x3, OUTS4x3)

// func kernel4x3x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x3x8(SB), NOSPLIT, $0-72
	PROLOGUE
	MULTIPLY(ZEROY12, LOADY3, ROWSY4x3, WHOLESY4x3)

// func kernel4x3x8m(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x3x8m(SB), NOSPLIT, $0-72
	PROLOGUE
	LASTVECTOR
	MULTIPLY(ZEROY12, LOADY3M, ROWSY4x3, OUTSY4x3M)

// func kernel4x2x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x2x8(SB), NOSPLIT, $0-72
	PROLOGUE
	LASTVECTOR
	VMOVUPS (R13), Y14
	MULTIPLY(ZEROY8, LOADY2, ROWSY4x2, OUTSY4x2)

// func kernel4x1x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)
TEXT ·kernel4x1x8(SB), NOSPLIT, $0-72
	PROLOGUE
	LASTVECTOR
	VMOVUPS (R13), Y14
	MULTIPLY(ZEROY4, LOADY1, ROWSY4x1, OUTSY4x1)
