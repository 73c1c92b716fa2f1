#include "textflag.h"
#include "rows_amd64.h"

// The AVX-512 kernels of multiply_amd64.s with the second factor read through masks. Loops run over CX channels, R13
// bytes apart, and within a channel over the taps in the table at R8: an offset in bytes, and sixteen mask bits for
// each vector.

#define PROLOGUE \
	MOVQ channels+0(FP), CX; MOVQ a+8(FP), SI; MOVQ b+16(FP), DI; MOVQ taps+24(FP), BX; MOVQ ntaps+32(FP), R15; \
	MOVQ plane+40(FP), R13; SHLQ $2, R13; \
	MOVQ c+48(FP), DX; MOVQ stride+56(FP), R10; SHLQ $2, R10; MOVQ rows+64(FP), R11; \
	MOVQ add+80(FP), AX; MOVQ mask+72(FP), R9; KMOVW R9, K4
#define OUTER MOVQ BX, R8; MOVQ R15, R12
#define NEXT ADDQ $64, SI; ADDQ $16, R8; DECQ R12; JNE loop; ADDQ R13, DI; DECQ CX; JNE channel

#define B1 MOVQ (R8), R9; KMOVW 8(R8), K1; VMOVUPS.Z (DI)(R9*1), K1, Z24
#define B2 \
	MOVQ (R8), R9; KMOVW 8(R8), K1; KMOVW 10(R8), K2; \
	VMOVUPS.Z (DI)(R9*1), K1, Z24; VMOVUPS.Z 64(DI)(R9*1), K2, Z25
#define B3 \
	MOVQ (R8), R9; KMOVW 8(R8), K1; KMOVW 10(R8), K2; KMOVW 12(R8), K3; \
	VMOVUPS.Z (DI)(R9*1), K1, Z24; VMOVUPS.Z 64(DI)(R9*1), K2, Z25; VMOVUPS.Z 128(DI)(R9*1), K3, Z26; \
	PREFETCHT0 192(DI)(R9*1); PREFETCHT0 256(DI)(R9*1); PREFETCHT0 320(DI)(R9*1)

// func masked8x3x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)
TEXT ·masked8x3x16(SB), NOSPLIT, $0-88
	PROLOGUE
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
channel:
	OUTER
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

// func masked8x2x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)
TEXT ·masked8x2x16(SB), NOSPLIT, $0-88
	PROLOGUE
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
channel:
	OUTER
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

// func masked8x1x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)
TEXT ·masked8x1x16(SB), NOSPLIT, $0-88
	PROLOGUE
	ZERO(Z0)
	ZERO(Z1)
	ZERO(Z2)
	ZERO(Z3)
	ZERO(Z4)
	ZERO(Z5)
	ZERO(Z6)
	ZERO(Z7)
channel:
	OUTER
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

// func masked4x3x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)
TEXT ·masked4x3x16(SB), NOSPLIT, $0-88
	PROLOGUE
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
channel:
	OUTER
	PCALIGN $32
loop:
	B3
	ROW3(0, Z27, Z0, Z1, Z2)
	ROW3(4, Z28, Z3, Z4, Z5)
	ROW3(8, Z29, Z6, Z7, Z8)
	ROW3(12, Z30, Z9, Z10, Z11)
	NEXT
	OUT3(Z0, Z1, Z2)
	OUT3(Z3, Z4, Z5)
	OUT3(Z6, Z7, Z8)
	OUT3(Z9, Z10, Z11)
done:
	VZEROUPPER
	RET
