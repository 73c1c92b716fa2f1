#include "textflag.h"
#include "rows_amd64.h"

// These are the kernels of correlation_amd64.s for AVX2. They start R14 bytes after the first pixel of the window, at
// vector AX. Loops run over CX channels, which are R13 bytes apart, and within a channel over the taps in the table at
// R8. An entry of the table holds the masks, an offset in bytes, and a bit for each vector whose mask has gaps. Few
// masks have gaps. The branches that test these bits are the same in every channel, so the processor predicts them.

#define PROLOGUE \
	MOVQ channels+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ taps+24(FP), BX; \
	MOVQ plane+40(FP), R13; SHLQ $2, R13; MOVQ piece+48(FP), R14; ADDQ R14, DI; \
	MOVQ c+56(FP), DX; MOVQ stride+64(FP), R10; SHLQ $2, R10; MOVQ rows+72(FP), R11; MOVQ R14, AX; SHRQ $5, AX
#define CHANNEL MOVQ BX, R8; MOVQ ntaps+32(FP), R12
#define TAP MOVQ 192(R8), R9; SHRXQ AX, 200(R8), R15
#define NEXT ADDQ $64, SI; ADDQ $224, R8; DECQ R12; JNE loop; ADDQ R13, DI; DECQ CX; JNE channel
#define LASTVECTOR MOVQ add+88(FP), AX; MOVQ last+80(FP), R12; MASKY(R13); VMOVUPS (R13), Y14

// func masked4x3x8(channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32,
//	stride, rows, last, add int)
TEXT ·masked4x3x8(SB), NOSPLIT, $0-96
	PROLOGUE
	ZEROY12
channel:
	CHANNEL
	PCALIGN $32
loop:
	TAP
	TESTQ $1, R15
	JNE part0
	VMOVUPS (DI)(R9*1), Y12
loaded0:
	TESTQ $2, R15
	JNE part1
	VMOVUPS 32(DI)(R9*1), Y13
loaded1:
	TESTQ $4, R15
	JNE part2
	VMOVUPS 64(DI)(R9*1), Y14
loaded2:
	ROWSY4x3
	NEXT
	LASTVECTOR
	OUTSY4x3
done:
	VZEROUPPER
	RET
part0:
	VMOVUPS (R8)(R14*1), Y12
	VMASKMOVPS (DI)(R9*1), Y12, Y12
	JMP loaded0
part1:
	VMOVUPS 32(R8)(R14*1), Y13
	VMASKMOVPS 32(DI)(R9*1), Y13, Y13
	JMP loaded1
part2:
	VMOVUPS 64(R8)(R14*1), Y14
	VMASKMOVPS 64(DI)(R9*1), Y14, Y14
	JMP loaded2

// func masked4x2x8(channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32,
//	stride, rows, last, add int)
TEXT ·masked4x2x8(SB), NOSPLIT, $0-96
	PROLOGUE
	ZEROY8
channel:
	CHANNEL
	PCALIGN $32
loop:
	TAP
	TESTQ $1, R15
	JNE part0
	VMOVUPS (DI)(R9*1), Y12
loaded0:
	TESTQ $2, R15
	JNE part1
	VMOVUPS 32(DI)(R9*1), Y13
loaded1:
	ROWSY4x2
	NEXT
	LASTVECTOR
	OUTSY4x2
done:
	VZEROUPPER
	RET
part0:
	VMOVUPS (R8)(R14*1), Y12
	VMASKMOVPS (DI)(R9*1), Y12, Y12
	JMP loaded0
part1:
	VMOVUPS 32(R8)(R14*1), Y13
	VMASKMOVPS 32(DI)(R9*1), Y13, Y13
	JMP loaded1

// func masked4x1x8(channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32,
//	stride, rows, last, add int)
TEXT ·masked4x1x8(SB), NOSPLIT, $0-96
	PROLOGUE
	ZEROY4
channel:
	CHANNEL
	PCALIGN $32
loop:
	TAP
	TESTQ $1, R15
	JNE part0
	VMOVUPS (DI)(R9*1), Y12
loaded0:
	ROWSY4x1
	NEXT
	LASTVECTOR
	OUTSY4x1
done:
	VZEROUPPER
	RET
part0:
	VMOVUPS (R8)(R14*1), Y12
	VMASKMOVPS (DI)(R9*1), Y12, Y12
	JMP loaded0
