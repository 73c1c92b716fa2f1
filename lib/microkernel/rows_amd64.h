// Macros for computing rows of results, which the kernels share. They are for float64 if FLOAT64 is defined, and
// otherwise for float32.

#ifdef FLOAT64
#define MOVU VMOVUPD
#define ADDV VADDPD
#define FMA VFMADD231PD
#define BROADCAST VBROADCASTSD
#define MASKMOV VMASKMOVPD
#define SIZE 8
#define SHIFT 3
#else
#define MOVU VMOVUPS
#define ADDV VADDPS
#define FMA VFMADD231PS
#define BROADCAST VBROADCASTSS
#define MASKMOV VMASKMOVPS
#define SIZE 4
#define SHIFT 2
#endif

// Macros for AVX-512. ROW1 to ROW3 multiply an element of a, near SI, by the one to three vectors of the second factor
// in Z24 to Z26, and add the products to the sums of a row. OUT1 to OUT3 write the sums of a row to DX, or add them if
// AX is nonzero. R10 is the number of bytes from one row to the next, R11 the number of rows left, and K4 the mask of
// the last vector of a row.

#define ZERO(z) VPXORD z, z, z
#define ZERO8 ZERO(Z0); ZERO(Z1); ZERO(Z2); ZERO(Z3); ZERO(Z4); ZERO(Z5); ZERO(Z6); ZERO(Z7)
#define ZERO12 ZERO8; ZERO(Z8); ZERO(Z9); ZERO(Z10); ZERO(Z11)
#define ZERO16 ZERO12; ZERO(Z12); ZERO(Z13); ZERO(Z14); ZERO(Z15)
#define ZERO24 ZERO16; ZERO(Z16); ZERO(Z17); ZERO(Z18); ZERO(Z19); ZERO(Z20); ZERO(Z21); ZERO(Z22); ZERO(Z23)

#define ROW1(at, z, c0) FMA.BCST at(SI), Z24, c0
#define ROW2(at, z, c0, c1) BROADCAST at(SI), z; FMA z, Z24, c0; FMA z, Z25, c1
#define ROW3(at, z, c0, c1, c2) BROADCAST at(SI), z; FMA z, Z24, c0; FMA z, Z25, c1; FMA z, Z26, c2

#define ROWS8x1 \
	ROW1((0*SIZE), Z27, Z0); ROW1((1*SIZE), Z28, Z1); ROW1((2*SIZE), Z29, Z2); ROW1((3*SIZE), Z30, Z3); \
	ROW1((4*SIZE), Z27, Z4); ROW1((5*SIZE), Z28, Z5); ROW1((6*SIZE), Z29, Z6); ROW1((7*SIZE), Z30, Z7)
#define ROWS8x2 \
	ROW2((0*SIZE), Z27, Z0, Z1); ROW2((1*SIZE), Z28, Z2, Z3); \
	ROW2((2*SIZE), Z29, Z4, Z5); ROW2((3*SIZE), Z30, Z6, Z7); \
	ROW2((4*SIZE), Z27, Z8, Z9); ROW2((5*SIZE), Z28, Z10, Z11); \
	ROW2((6*SIZE), Z29, Z12, Z13); ROW2((7*SIZE), Z30, Z14, Z15)
#define ROWS4x3 \
	ROW3((0*SIZE), Z27, Z0, Z1, Z2); ROW3((1*SIZE), Z28, Z3, Z4, Z5); \
	ROW3((2*SIZE), Z29, Z6, Z7, Z8); ROW3((3*SIZE), Z30, Z9, Z10, Z11)
#define ROWS8x3 ROWS4x3; \
	ROW3((4*SIZE), Z27, Z12, Z13, Z14); ROW3((5*SIZE), Z28, Z15, Z16, Z17); \
	ROW3((6*SIZE), Z29, Z18, Z19, Z20); ROW3((7*SIZE), Z30, Z21, Z22, Z23)

#define LAST(at, cl) TESTQ AX, AX; JEQ 3(PC); MOVU.Z at(DX), K4, Z31; ADDV Z31, cl, cl; MOVU cl, K4, at(DX)
#define FULL(at, cf) TESTQ AX, AX; JEQ 2(PC); ADDV at(DX), cf, cf; MOVU cf, at(DX)
#define DOWN DECQ R11; JEQ done; ADDQ R10, DX
#define OUT1(c0) LAST(0, c0); DOWN
#define OUT2(c0, c1) FULL(0, c0); LAST(64, c1); DOWN
#define OUT3(c0, c1, c2) FULL(0, c0); FULL(64, c1); LAST(128, c2); DOWN
#define OUTS8x1 OUT1(Z0); OUT1(Z1); OUT1(Z2); OUT1(Z3); OUT1(Z4); OUT1(Z5); OUT1(Z6); OUT1(Z7)
#define OUTS8x2 \
	OUT2(Z0, Z1); OUT2(Z2, Z3); OUT2(Z4, Z5); OUT2(Z6, Z7); \
	OUT2(Z8, Z9); OUT2(Z10, Z11); OUT2(Z12, Z13); OUT2(Z14, Z15)
#define OUTS4x3 OUT3(Z0, Z1, Z2); OUT3(Z3, Z4, Z5); OUT3(Z6, Z7, Z8); OUT3(Z9, Z10, Z11)
#define OUTS8x3 OUTS4x3; \
	OUT3(Z12, Z13, Z14); OUT3(Z15, Z16, Z17); OUT3(Z18, Z19, Z20); OUT3(Z21, Z22, Z23)

// Macros for AVX2, for four rows. The second factor is in Y12 to Y14. When sums are written, Y14 is the mask of the
// last vector of a row. In float32, the last vector has R12 elements. They are written four, two and one at a time,
// because a VMASKMOVPS to memory takes dozens of cycles on AMD processors.

#define MASKY(r) MOVQ $8, R9; SUBQ R12, R9; LEAQ ·masks(SB), r; LEAQ (r)(R9*4), r

#define ZEROY(y) VXORPS y, y, y
#define ZEROY4 ZEROY(Y0); ZEROY(Y1); ZEROY(Y2); ZEROY(Y3)
#define ZEROY8 ZEROY4; ZEROY(Y4); ZEROY(Y5); ZEROY(Y6); ZEROY(Y7)
#define ZEROY12 ZEROY8; ZEROY(Y8); ZEROY(Y9); ZEROY(Y10); ZEROY(Y11)

#define ROWY1(at, c0) BROADCAST at(SI), Y15; FMA Y15, Y12, c0
#define ROWY2(at, c0, c1) ROWY1(at, c0); FMA Y15, Y13, c1
#define ROWY3(at, c0, c1, c2) ROWY2(at, c0, c1); FMA Y15, Y14, c2
#define ROWSY4x1 ROWY1((0*SIZE), Y0); ROWY1((1*SIZE), Y1); ROWY1((2*SIZE), Y2); ROWY1((3*SIZE), Y3)
#define ROWSY4x2 \
	ROWY2((0*SIZE), Y0, Y1); ROWY2((1*SIZE), Y2, Y3); ROWY2((2*SIZE), Y4, Y5); ROWY2((3*SIZE), Y6, Y7)
#define ROWSY4x3 \
	ROWY3((0*SIZE), Y0, Y1, Y2); ROWY3((1*SIZE), Y3, Y4, Y5); \
	ROWY3((2*SIZE), Y6, Y7, Y8); ROWY3((3*SIZE), Y9, Y10, Y11)

#ifdef FLOAT64
#define LASTY(at, cl, xl) \
	TESTQ AX, AX; JEQ 3(PC); VMASKMOVPD at(DX), Y14, Y13; VADDPD Y13, cl, cl; VMASKMOVPD cl, Y14, at(DX)
#else
#define LASTY(at, cl, xl) \
	TESTQ AX, AX; JEQ 3(PC); VMASKMOVPS at(DX), Y14, Y13; VADDPS Y13, cl, cl; \
	CMPQ R12, $8; JNE 3(PC); VMOVUPS cl, at(DX); JMP 15(PC); \
	LEAQ at(DX), R9; \
	BTQ $2, R12; JCC 4(PC); VMOVUPS xl, (R9); ADDQ $16, R9; VEXTRACTF128 $1, cl, xl; \
	BTQ $1, R12; JCC 4(PC); VMOVSD xl, (R9); ADDQ $8, R9; VPERMILPS $0x0e, xl, xl; \
	BTQ $0, R12; JCC 2(PC); VMOVSS xl, (R9)
#endif
#define OUTY1(c0, xl) LASTY(0, c0, xl); DOWN
#define OUTY2(c0, c1, xl) FULL(0, c0); LASTY(32, c1, xl); DOWN
#define OUTY3(c0, c1, c2, xl) FULL(0, c0); FULL(32, c1); LASTY(64, c2, xl); DOWN
#define WHOLEY3(c0, c1, c2) FULL(0, c0); FULL(32, c1); FULL(64, c2); DOWN
#define OUTSY4x1 OUTY1(Y0, X0); OUTY1(Y1, X1); OUTY1(Y2, X2); OUTY1(Y3, X3)
#define OUTSY4x2 OUTY2(Y0, Y1, X1); OUTY2(Y2, Y3, X3); OUTY2(Y4, Y5, X5); OUTY2(Y6, Y7, X7)
#define OUTSY4x3 OUTY3(Y0, Y1, Y2, X2); OUTY3(Y3, Y4, Y5, X5); OUTY3(Y6, Y7, Y8, X8); OUTY3(Y9, Y10, Y11, X11)
#define WHOLESY4x3 WHOLEY3(Y0, Y1, Y2); WHOLEY3(Y3, Y4, Y5); WHOLEY3(Y6, Y7, Y8); WHOLEY3(Y9, Y10, Y11)

// MULTIPLY is the whole kernel after its prologue: it sums CX terms and writes the sums.
#define MULTIPLY(ZEROS, LOAD, ROWS, OUTS) \
	ZEROS; \
	PCALIGN $32; \
loop: \
	MOVQ (R8), R9; LOAD; ROWS; ADDQ $(16*SIZE), SI; ADDQ $8, R8; DECQ CX; JNE loop; \
	OUTS; \
done: \
	VZEROUPPER; RET
