// Macros that define the kernels of products, after rows_amd64.h. The arguments of a kernel are
//
//	k int, a, b *T, off *int, c *T, stride, rows int, mask or last, add int
//
// All kernels use these registers: SI is the address of a, DI of b, R8 of the offsets, and DX of c. CX is the number of
// terms left, R11 the number of rows left, and R10 the number of bytes from one row of c to the next. If AX is nonzero,
// the sums are added to c. The sums of a row are in one, two or three vector registers, and the sums of the next row in
// the registers after these. SETUP loads the mask of the last vector of a row.

#define KERNEL(name, SETUP, ZEROS, LOAD, ROWS, OUTS) \
TEXT name(SB), NOSPLIT, $0-72; \
	MOVQ k+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ off+24(FP), R8; \
	MOVQ c+32(FP), DX; MOVQ stride+40(FP), R10; SHLQ $SHIFT, R10; MOVQ rows+48(FP), R11; \
	MOVQ add+64(FP), AX; SETUP; \
	MULTIPLY(ZEROS, LOAD, ROWS, OUTS)

#define WHOLE // the SETUP of kernels whose rows consist of whole vectors

// AVX-512 kernels compute up to eight rows. K4 is the mask of the last vector of a row.

#define MASK MOVQ mask+56(FP), R9; KMOVW R9, K4
#define LOAD1 MOVU.Z (DI)(R9*SIZE), K4, Z24
#define LOAD2 MOVU (DI)(R9*SIZE), Z24; MOVU.Z 64(DI)(R9*SIZE), K4, Z25
#define LOAD3 MOVU (DI)(R9*SIZE), Z24; MOVU 64(DI)(R9*SIZE), Z25; MOVU.Z 128(DI)(R9*SIZE), K4, Z26

// AVX2 kernels compute four rows of one to three vectors. If a row has one or two vectors, Y14 is the mask of the last.

#define LOADY1 MASKMOV (DI)(R9*SIZE), Y14, Y12
#define LOADY2 MOVU (DI)(R9*SIZE), Y12; MASKMOV 32(DI)(R9*SIZE), Y14, Y13
#define LOADY3 MOVU (DI)(R9*SIZE), Y12; MOVU 32(DI)(R9*SIZE), Y13; MOVU 64(DI)(R9*SIZE), Y14
