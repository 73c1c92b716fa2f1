#include "textflag.h"

// The loops in vector.go define what these functions compute. n is a positive multiple of the number of elements per
// iteration. BX is the current offset in bytes, and CX is its end.

#define AXPY(v) \
	MOVQ n+0(FP), CX; SHLQ $3, CX; VBROADCASTSD alpha+8(FP), v; MOVQ x+16(FP), SI; MOVQ y+24(FP), DI; XORQ BX, BX
#define DOT MOVQ n+0(FP), CX; SHLQ $3, CX; MOVQ x+8(FP), SI; MOVQ y+16(FP), DI; MOVQ sums+24(FP), DX
#define NEXT(bytes) ADDQ $bytes, BX; CMPQ BX, CX; JNE loop

// The rows of symv are at SI, R8, R9 and R10.
#define SYMV \
	MOVQ n+0(FP), CX; SHLQ $3, CX; MOVQ a+8(FP), SI; MOVQ stride+16(FP), R11; SHLQ $3, R11 \
	LEAQ (SI)(R11*1), R8; LEAQ (R8)(R11*1), R9; LEAQ (R9)(R11*1), R10 \
	MOVQ x+24(FP), DI; MOVQ y+32(FP), DX; MOVQ weights+40(FP), R12; MOVQ sums+48(FP), R13; XORQ BX, BX

// func axpy512(n int, alpha float64, x, y *float64)
TEXT ·axpy512(SB), NOSPLIT, $0-32
	AXPY(Z0)
loop:
	VMOVUPD (DI)(BX*1), Z1
	VFMADD231PD (SI)(BX*1), Z0, Z1
	VMOVUPD Z1, (DI)(BX*1)
	NEXT(64)
	VZEROUPPER
	RET

// func axpy256(n int, alpha float64, x, y *float64)
TEXT ·axpy256(SB), NOSPLIT, $0-32
	AXPY(Y0)
loop:
	VMOVUPD (DI)(BX*1), Y1
	VMOVUPD 32(DI)(BX*1), Y2
	VFMADD231PD (SI)(BX*1), Y0, Y1
	VFMADD231PD 32(SI)(BX*1), Y0, Y2
	VMOVUPD Y1, (DI)(BX*1)
	VMOVUPD Y2, 32(DI)(BX*1)
	NEXT(64)
	VZEROUPPER
	RET

// func dot512(n int, x, y *float64, sums *[dotLanes]float64)
TEXT ·dot512(SB), NOSPLIT, $0-32
	DOT
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	XORQ BX, BX
loop:
	VMOVUPD (SI)(BX*1), Z2
	VMOVUPD 64(SI)(BX*1), Z3
	VFMADD231PD (DI)(BX*1), Z2, Z0
	VFMADD231PD 64(DI)(BX*1), Z3, Z1
	NEXT(128)
	VMOVUPD Z0, (DX)
	VMOVUPD Z1, 64(DX)
	VZEROUPPER
	RET

// func dot256(n int, x, y *float64, sums *[dotLanes]float64)
TEXT ·dot256(SB), NOSPLIT, $0-32
	DOT
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	XORQ BX, BX
loop:
	VMOVUPD (SI)(BX*1), Y4
	VMOVUPD 32(SI)(BX*1), Y5
	VMOVUPD 64(SI)(BX*1), Y6
	VMOVUPD 96(SI)(BX*1), Y7
	VFMADD231PD (DI)(BX*1), Y4, Y0
	VFMADD231PD 32(DI)(BX*1), Y5, Y1
	VFMADD231PD 64(DI)(BX*1), Y6, Y2
	VFMADD231PD 96(DI)(BX*1), Y7, Y3
	NEXT(128)
	VMOVUPD Y0, (DX)
	VMOVUPD Y1, 32(DX)
	VMOVUPD Y2, 64(DX)
	VMOVUPD Y3, 96(DX)
	VZEROUPPER
	RET

#define ROW512(row, weight, sum) VMOVUPD (row)(BX*1), Z10; VFMADD231PD Z10, weight, Z9; VFMADD231PD Z10, Z8, sum

// func symv512(n int, a *float64, stride int, x, y *float64, weights *[symvRows]float64, sums *rowSums)
TEXT ·symv512(SB), NOSPLIT, $0-56
	SYMV
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	VBROADCASTSD (R12), Z4
	VBROADCASTSD 8(R12), Z5
	VBROADCASTSD 16(R12), Z6
	VBROADCASTSD 24(R12), Z7
loop:
	VMOVUPD (DI)(BX*1), Z8
	VMOVUPD (DX)(BX*1), Z9
	ROW512(SI, Z4, Z0)
	ROW512(R8, Z5, Z1)
	ROW512(R9, Z6, Z2)
	ROW512(R10, Z7, Z3)
	VMOVUPD Z9, (DX)(BX*1)
	NEXT(64)
	VMOVUPD Z0, (R13)
	VMOVUPD Z1, 64(R13)
	VMOVUPD Z2, 128(R13)
	VMOVUPD Z3, 192(R13)
	VZEROUPPER
	RET

#define ROW256(at, row, weight, sum) VMOVUPD at(row)(BX*1), Y14; VFMADD231PD Y14, weight, Y13; VFMADD231PD Y14, Y12, sum

// func symv256(n int, a *float64, stride int, x, y *float64, weights *[symvRows]float64, sums *rowSums)
TEXT ·symv256(SB), NOSPLIT, $0-56
	SYMV
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	VXORPD Y4, Y4, Y4
	VXORPD Y5, Y5, Y5
	VXORPD Y6, Y6, Y6
	VXORPD Y7, Y7, Y7
	VBROADCASTSD 0(R12), Y8
	VBROADCASTSD 8(R12), Y9
	VBROADCASTSD 16(R12), Y10
	VBROADCASTSD 24(R12), Y11
loop:
	VMOVUPD 0(DI)(BX*1), Y12
	VMOVUPD 0(DX)(BX*1), Y13
	ROW256(0, SI, Y8, Y0)
	ROW256(0, R8, Y9, Y2)
	ROW256(0, R9, Y10, Y4)
	ROW256(0, R10, Y11, Y6)
	VMOVUPD Y13, 0(DX)(BX*1)
	VMOVUPD 32(DI)(BX*1), Y12
	VMOVUPD 32(DX)(BX*1), Y13
	ROW256(32, SI, Y8, Y1)
	ROW256(32, R8, Y9, Y3)
	ROW256(32, R9, Y10, Y5)
	ROW256(32, R10, Y11, Y7)
	VMOVUPD Y13, 32(DX)(BX*1)
	NEXT(64)
	VMOVUPD Y0, 0(R13)
	VMOVUPD Y1, 32(R13)
	VMOVUPD Y2, 64(R13)
	VMOVUPD Y3, 96(R13)
	VMOVUPD Y4, 128(R13)
	VMOVUPD Y5, 160(R13)
	VMOVUPD Y6, 192(R13)
	VMOVUPD Y7, 224(R13)
	VZEROUPPER
	RET
