#include "textflag.h"
#define FLOAT64
#include "rows_amd64.h"

// These are the kernels of multiply_amd64.s for float64. They use the same registers.

#define PROLOGUE \
	MOVQ k+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ off+24(FP), R8; \
	MOVQ c+32(FP), DX; MOVQ stride+40(FP), R10; SHLQ $3, R10; MOVQ rows+48(FP), R11; \
	MOVQ add+64(FP), AX

// AVX-512 kernels compute eight rows. K4 is the mask of the last vector of a row.

#define MASK MOVQ mask+56(FP), R9; KMOVW R9, K4
#define LOAD1 VMOVUPD.Z (DI)(R9*8), K4, Z24
#define LOAD2 VMOVUPD (DI)(R9*8), Z24; VMOVUPD.Z 64(DI)(R9*8), K4, Z25
#define LOAD3 VMOVUPD (DI)(R9*8), Z24; VMOVUPD 64(DI)(R9*8), Z25; VMOVUPD.Z 128(DI)(R9*8), K4, Z26

// AVX2 kernels compute four rows. In kernels with one or two vectors per row, Y14 is the mask of the last vector.

#define MASK4 MOVQ mask+56(FP), R9; VMOVUPD (R9), Y14
#define LOADY1 VMASKMOVPD (DI)(R9*8), Y14, Y12
#define LOADY2 VMOVUPD (DI)(R9*8), Y12; VMASKMOVPD 32(DI)(R9*8), Y14, Y13
#define LOADY3 VMOVUPD (DI)(R9*8), Y12; VMOVUPD 32(DI)(R9*8), Y13; VMOVUPD 64(DI)(R9*8), Y14

// func kernel8x3x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)
TEXT ·kernel8x3x8f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO24, LOAD3, ROWS8x3, OUTS8x3)

// func kernel8x2x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)
TEXT ·kernel8x2x8f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO16, LOAD2, ROWS8x2, OUTS8x2)

// func kernel8x1x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)
TEXT ·kernel8x1x8f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK
	MULTIPLY(ZERO8, LOAD1, ROWS8x1, OUTS8x1)

// func kernel4x3x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)
TEXT ·kernel4x3x4f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MULTIPLY(ZEROY12, LOADY3, ROWSY4x3, WHOLESY4x3)

// func kernel4x2x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)
TEXT ·kernel4x2x4f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK4
	MULTIPLY(ZEROY8, LOADY2, ROWSY4x2, OUTSY4x2)

// func kernel4x1x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)
TEXT ·kernel4x1x4f64(SB), NOSPLIT, $0-72
	PROLOGUE
	MASK4
	MULTIPLY(ZEROY4, LOADY1, ROWSY4x1, OUTSY4x1)
