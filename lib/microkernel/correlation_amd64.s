#include "textflag.h"
#include "rows_amd64.h"

// These are the AVX-512 kernels of multiply_amd64.s, but they read the second factor through masks. Loops run over CX
// channels, which are R13 bytes apart, and within a channel over the taps in the table at R8. An entry of the table is
// an offset in bytes and sixteen mask bits for each vector. KERNEL defines a function with the arguments
//
//	channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int

#define KERNEL(name, ZEROS, LOAD, ROWS, OUTS) \
TEXT name(SB), NOSPLIT, $0-88; \
	MOVQ channels+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ taps+24(FP), BX; MOVQ ntaps+32(FP), R15; \
	MOVQ plane+40(FP), R13; SHLQ $2, R13; \
	MOVQ c+48(FP), DX; MOVQ stride+56(FP), R10; SHLQ $2, R10; MOVQ rows+64(FP), R11; \
	MOVQ add+80(FP), AX; MOVQ mask+72(FP), R9; KMOVW R9, K4; \
	ZEROS; \
channel: \
	MOVQ BX, R8; MOVQ R15, R12; \
	PCALIGN $32; \
loop: \
	MOVQ (R8), R9; LOAD; ROWS; ADDQ $64, SI; ADDQ $16, R8; DECQ R12; JNE loop; \
	ADDQ R13, DI; DECQ CX; JNE channel; \
	OUTS; \
done: \
	VZEROUPPER; RET

#define LOAD1 KMOVW 8(R8), K1; VMOVUPS.Z (DI)(R9*1), K1, Z24
#define LOAD2 \
	KMOVW 8(R8), K1; KMOVW 10(R8), K2; VMOVUPS.Z (DI)(R9*1), K1, Z24; VMOVUPS.Z 64(DI)(R9*1), K2, Z25
#define LOAD3 \
	KMOVW 8(R8), K1; KMOVW 10(R8), K2; KMOVW 12(R8), K3; \
	VMOVUPS.Z (DI)(R9*1), K1, Z24; VMOVUPS.Z 64(DI)(R9*1), K2, Z25; VMOVUPS.Z 128(DI)(R9*1), K3, Z26; \
	PREFETCHT0 192(DI)(R9*1); PREFETCHT0 256(DI)(R9*1); PREFETCHT0 320(DI)(R9*1)

KERNEL(·masked8x3x16, ZERO24, LOAD3, ROWS8x3, OUTS8x3)
KERNEL(·masked8x2x16, ZERO16, LOAD2, ROWS8x2, OUTS8x2)
KERNEL(·masked8x1x16, ZERO8, LOAD1, ROWS8x1, OUTS8x1)
KERNEL(·masked4x3x16, ZERO12, LOAD3, ROWS4x3, OUTS4x3)
