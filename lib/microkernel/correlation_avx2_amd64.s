#include "textflag.h"
#include "rows_amd64.h"

// These are the kernels of correlation_amd64.s for AVX2. They start R14 bytes after the first pixel of the window, at
// vector AX. Loops run over CX channels, which are R13 bytes apart, and within a channel over the taps in the table at
// R8. An entry of the table holds the masks, an offset in bytes, and a bit for each vector whose mask has gaps. Few
// masks have gaps. The branches that test these bits are the same in every channel, so the processor predicts them.
// KERNEL defines a function with the arguments
//
//	channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32, stride, rows, last, add int


#define PROLOGUE \
	MOVQ channels+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ taps+24(FP), BX; \
	MOVQ plane+40(FP), R13; SHLQ $2, R13; MOVQ piece+48(FP), R14; ADDQ R14, DI; \
	MOVQ c+56(FP), DX; MOVQ stride+64(FP), R10; SHLQ $2, R10; MOVQ rows+72(FP), R11; MOVQ R14, AX; SHRQ $5, AX
#define CHANNEL MOVQ BX, R8; MOVQ ntaps+32(FP), R12
#define TAP MOVQ 192(R8), R9; SHRXQ AX, 200(R8), R15
// VECTOR loads a vector of the image, or, if its mask has gaps, jumps to PART,
// which loads it under the mask.
#define VECTOR(bit, at, v, part, loaded) TESTQ $bit, R15; JNE part; VMOVUPS at(DI)(R9*1), v; loaded:
#define PART(at, v, part, loaded) part: VMOVUPS at(R8)(R14*1), v; VMASKMOVPS at(DI)(R9*1), v, v; JMP loaded
#define VECTOR1 VECTOR(1, 0, Y12, part0, loaded0)
#define VECTOR2 VECTOR1; VECTOR(2, 32, Y13, part1, loaded1)
#define VECTOR3 VECTOR2; VECTOR(4, 64, Y14, part2, loaded2)
#define PARTS1 PART(0, Y12, part0, loaded0)
#define PARTS2 PARTS1; PART(32, Y13, part1, loaded1)
#define PARTS3 PARTS2; PART(64, Y14, part2, loaded2)
#define NEXT ADDQ $64, SI; ADDQ $224, R8; DECQ R12; JNE loop; ADDQ R13, DI; DECQ CX; JNE channel
#define LASTVECTOR MOVQ add+88(FP), AX; MOVQ last+80(FP), R12; MASKY(R13); VMOVUPS (R13), Y14

#define KERNEL(name, ZEROS, VECTORS, ROWS, OUTS, PARTS) \
TEXT name(SB), NOSPLIT, $0-96; \
	PROLOGUE; ZEROS; \
channel: \
	CHANNEL; \
	PCALIGN $32; \
loop: \
	TAP; VECTORS; ROWS; NEXT; LASTVECTOR; OUTS; \
done: \
	VZEROUPPER; RET; \
	PARTS

KERNEL(·masked4x3x8, ZEROY12, VECTOR3, ROWSY4x3, OUTSY4x3, PARTS3)
KERNEL(·masked4x2x8, ZEROY8, VECTOR2, ROWSY4x2, OUTSY4x2, PARTS2)
KERNEL(·masked4x1x8, ZEROY4, VECTOR1, ROWSY4x1, OUTSY4x1, PARTS1)
