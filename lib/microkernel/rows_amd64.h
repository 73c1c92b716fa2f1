// What the AVX-512 kernels share: the sums of row r are the next one, two or three vector registers, the second factor is in
// Z24 to Z26, the result at DX in rows R10 bytes apart, R11 rows left, AX whether to add, K4 the mask of a row's last vector.

#define ZERO(z) VPXORD z, z, z
#define ROW1(at, z, c0) VFMADD231PS.BCST at(SI), Z24, c0
#define ROW2(at, z, c0, c1) VBROADCASTSS at(SI), z; VFMADD231PS z, Z24, c0; VFMADD231PS z, Z25, c1
#define ROW3(at, z, c0, c1, c2) VBROADCASTSS at(SI), z; VFMADD231PS z, Z24, c0; VFMADD231PS z, Z25, c1; VFMADD231PS z, Z26, c2

#define LAST(at, cl) TESTQ AX, AX; JEQ 3(PC); VMOVUPS.Z at(DX), K4, Z31; VADDPS Z31, cl, cl; VMOVUPS cl, K4, at(DX)
#define FULL(at, cf) TESTQ AX, AX; JEQ 2(PC); VADDPS at(DX), cf, cf; VMOVUPS cf, at(DX)
#define DOWN DECQ R11; JEQ done; ADDQ R10, DX
#define OUT1(c0) LAST(0, c0); DOWN
#define OUT2(c0, c1) FULL(0, c0); LAST(64, c1); DOWN
#define OUT3(c0, c1, c2) FULL(0, c0); FULL(64, c1); LAST(128, c2); DOWN
