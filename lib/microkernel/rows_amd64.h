// Rows of the AVX-512 kernels. ROW adds to one to three vectors of sums the element of a at SI times the second factor
// in Z24 to Z26. OUT writes a row of sums to DX, or adds them to it if AX is nonzero. R10 is the distance of rows in
// bytes, R11 the number of rows left, K4 the mask of a row's last vector.

#define ZERO(z) VPXORD z, z, z
#define ROW1(at, z, c0) VFMADD231PS.BCST at(SI), Z24, c0
#define ROW2(at, z, c0, c1) VBROADCASTSS at(SI), z; VFMADD231PS z, Z24, c0; VFMADD231PS z, Z25, c1
#define ROW3(at, z, c0, c1, c2) \
	VBROADCASTSS at(SI), z; VFMADD231PS z, Z24, c0; VFMADD231PS z, Z25, c1; VFMADD231PS z, Z26, c2

#define LAST(at, cl) TESTQ AX, AX; JEQ 3(PC); VMOVUPS.Z at(DX), K4, Z31; VADDPS Z31, cl, cl; VMOVUPS cl, K4, at(DX)
#define FULL(at, cf) TESTQ AX, AX; JEQ 2(PC); VADDPS at(DX), cf, cf; VMOVUPS cf, at(DX)
#define DOWN DECQ R11; JEQ done; ADDQ R10, DX
#define OUT1(c0) LAST(0, c0); DOWN
#define OUT2(c0, c1) FULL(0, c0); LAST(64, c1); DOWN
#define OUT3(c0, c1, c2) FULL(0, c0); FULL(64, c1); LAST(128, c2); DOWN

// The same for AVX2, with the second factor in Y12 to Y14. A row's last vector has R12 elements; Y14 is their mask.
// They are written four, two and one at a time, because a VMASKMOVPS to memory takes dozens of cycles on AMD
// processors.

#define MASKY(r) MOVQ $8, R9; SUBQ R12, R9; LEAQ ·masks(SB), r; LEAQ (r)(R9*4), r

#define ZEROY(y) VXORPS y, y, y
#define ROWY1(at, c0) VBROADCASTSS at(SI), Y15; VFMADD231PS Y15, Y12, c0
#define ROWY2(at, c0, c1) VBROADCASTSS at(SI), Y15; VFMADD231PS Y15, Y12, c0; VFMADD231PS Y15, Y13, c1
#define ROWY3(at, c0, c1, c2) \
	VBROADCASTSS at(SI), Y15; VFMADD231PS Y15, Y12, c0; VFMADD231PS Y15, Y13, c1; VFMADD231PS Y15, Y14, c2

#define LASTY(at, cl, xl) \
	TESTQ AX, AX; JEQ 3(PC); VMASKMOVPS at(DX), Y14, Y13; VADDPS Y13, cl, cl; \
	CMPQ R12, $8; JNE 3(PC); VMOVUPS cl, at(DX); JMP 15(PC); \
	LEAQ at(DX), R9; \
	BTQ $2, R12; JCC 4(PC); VMOVUPS xl, (R9); ADDQ $16, R9; VEXTRACTF128 $1, cl, xl; \
	BTQ $1, R12; JCC 4(PC); VMOVSD xl, (R9); ADDQ $8, R9; VPERMILPS $0x0e, xl, xl; \
	BTQ $0, R12; JCC 2(PC); VMOVSS xl, (R9)
#define OUTY1(c0, xl) LASTY(0, c0, xl); DOWN
#define OUTY2(c0, c1, xl) FULL(0, c0); LASTY(32, c1, xl); DOWN
#define OUTY3(c0, c1, c2, xl) FULL(0, c0); FULL(32, c1); LASTY(64, c2, xl); DOWN
#define WHOLEY3(c0, c1, c2) FULL(0, c0); FULL(32, c1); FULL(64, c2); DOWN
