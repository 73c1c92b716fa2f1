#include "textflag.h"
#include "rows_amd64.h"

#define PROLOGUE \
	MOVQ dst+0(FP), DI; MOVQ dstStride+8(FP), R10; SHLQ $2, R10; MOVQ src+16(FP), SI; MOVQ srcStride+24(FP), DX; \
	SHLQ $2, DX; MOVQ rows+32(FP), BX; MOVQ cols+40(FP), R11

// LOAD reads the next row of a block. R9 is the address of the row, and R12 the number of rows left. After the last
// row, R9 no longer changes.
#define LOAD(z) VMOVUPS.Z (R9), K1, z; DECQ R12; CMOVQLE AX, R13; ADDQ R13, R9
#define STORE(z) VMOVUPS z, K2, (DI); DECQ R11; JEQ done; ADDQ R10, DI

// FOUR transposes a 4x4 block in each 128-bit lane of four registers.
#define FOUR(a, b, c, d, p, q, r, s) \
	VUNPCKLPS b, a, p; VUNPCKHPS b, a, q; VUNPCKLPS d, c, r; VUNPCKHPS d, c, s; \
	VUNPCKLPD r, p, a; VUNPCKHPD r, p, b; VUNPCKLPD s, q, c; VUNPCKHPD s, q, d
// QUARTERS moves the even quarters of a and b to p, and their odd quarters to q.
#define QUARTERS(a, b, p, q) VSHUFF32X4 $0x88, b, a, p; VSHUFF32X4 $0xdd, b, a, q

// func transpose16(dst *float32, dstStride int, src *float32, srcStride, rows, cols, lanes int)
TEXT ·transpose16(SB), NOSPLIT, $0-56
	PROLOGUE
	MOVQ lanes+48(FP), CX
	KMOVW CX, K2
	XORQ AX, AX
block:
	MOVQ $0xffff, CX
	CMPQ R11, $16
	JGE whole
	MOVQ R11, CX
	MOVQ $1, R8
	SHLQ CX, R8
	DECQ R8
	MOVQ R8, CX
whole:
	KMOVW CX, K1
	MOVQ SI, R9
	MOVQ BX, R12
	MOVQ DX, R13

	LOAD(Z0); LOAD(Z1); LOAD(Z2); LOAD(Z3); LOAD(Z4); LOAD(Z5); LOAD(Z6); LOAD(Z7)
	LOAD(Z8); LOAD(Z9); LOAD(Z10); LOAD(Z11); LOAD(Z12); LOAD(Z13); LOAD(Z14); LOAD(Z15)
	FOUR(Z0, Z1, Z2, Z3, Z16, Z17, Z18, Z19)
	FOUR(Z4, Z5, Z6, Z7, Z20, Z21, Z22, Z23)
	FOUR(Z8, Z9, Z10, Z11, Z24, Z25, Z26, Z27)
	FOUR(Z12, Z13, Z14, Z15, Z28, Z29, Z30, Z31)
	QUARTERS(Z0, Z4, Z16, Z20); QUARTERS(Z1, Z5, Z17, Z21); QUARTERS(Z2, Z6, Z18, Z22); QUARTERS(Z3, Z7, Z19, Z23)
	QUARTERS(Z8, Z12, Z24, Z28); QUARTERS(Z9, Z13, Z25, Z29); QUARTERS(Z10, Z14, Z26, Z30); QUARTERS(Z11, Z15, Z27, Z31)
	QUARTERS(Z16, Z24, Z0, Z8); QUARTERS(Z17, Z25, Z1, Z9); QUARTERS(Z18, Z26, Z2, Z10); QUARTERS(Z19, Z27, Z3, Z11)
	QUARTERS(Z20, Z28, Z4, Z12); QUARTERS(Z21, Z29, Z5, Z13); QUARTERS(Z22, Z30, Z6, Z14); QUARTERS(Z23, Z31, Z7, Z15)
	STORE(Z0); STORE(Z1); STORE(Z2); STORE(Z3); STORE(Z4); STORE(Z5); STORE(Z6); STORE(Z7)
	STORE(Z8); STORE(Z9); STORE(Z10); STORE(Z11); STORE(Z12); STORE(Z13); STORE(Z14); STORE(Z15)
	ADDQ $64, SI
	JMP block
done:
	VZEROUPPER
	RET

// transpose8 is for AVX2. It transposes BX rows, at most eight, in blocks of eight columns. If there are fewer than
// eight rows, the elements of a column are written four, two and one at a time.

#define LOADY(y) VMASKMOVPS (R9), Y15, y; DECQ R12; CMOVQLE AX, R13; ADDQ R13, R9
#define STOREY(y, x) \
	CMPQ BX, $8; JNE 3(PC); VMOVUPS y, (DI); JMP 15(PC); \
	MOVQ DI, R9; \
	BTQ $2, BX; JCC 4(PC); VMOVUPS x, (R9); ADDQ $16, R9; VEXTRACTF128 $1, y, x; \
	BTQ $1, BX; JCC 4(PC); VMOVSD x, (R9); ADDQ $8, R9; VPERMILPS $0x0e, x, x; \
	BTQ $0, BX; JCC 2(PC); VMOVSS x, (R9); \
	DECQ R11; JEQ done; ADDQ R10, DI

// func transpose8(dst *float32, dstStride int, src *float32, srcStride, rows, cols int)
TEXT ·transpose8(SB), NOSPLIT, $0-48
	PROLOGUE
	XORQ AX, AX
block:
	MOVQ $8, R12
	CMPQ R11, $8
	CMOVQLT R11, R12
	MASKY(R8)
	VMOVUPS (R8), Y15
	MOVQ SI, R9
	MOVQ BX, R12
	MOVQ DX, R13

	LOADY(Y0); LOADY(Y1); LOADY(Y2); LOADY(Y3); LOADY(Y4); LOADY(Y5); LOADY(Y6); LOADY(Y7)
	FOUR(Y0, Y1, Y2, Y3, Y8, Y9, Y10, Y11)
	FOUR(Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11)
	VINSERTF128 $1, X4, Y0, Y8
	VINSERTF128 $1, X5, Y1, Y9
	VINSERTF128 $1, X6, Y2, Y10
	VINSERTF128 $1, X7, Y3, Y11
	VPERM2F128 $0x31, Y4, Y0, Y12
	VPERM2F128 $0x31, Y5, Y1, Y13
	VPERM2F128 $0x31, Y6, Y2, Y14
	VPERM2F128 $0x31, Y7, Y3, Y15
	STOREY(Y8, X8); STOREY(Y9, X9); STOREY(Y10, X10); STOREY(Y11, X11)
	STOREY(Y12, X12); STOREY(Y13, X13); STOREY(Y14, X14); STOREY(Y15, X15)
	ADDQ $32, SI
	JMP block
done:
	VZEROUPPER
	RET
