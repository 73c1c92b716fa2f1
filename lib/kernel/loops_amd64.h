// The loops that the instruction sets share. Before a file includes this one, it defines the vector registers V0 to V15
// except V3, the number of elements VN and of bytes VB of a vector, and the macros
//
//	TAIL           sets the mask to the first CX < VN elements
//	LOADM(p, v)    loads v from p under the mask, with zeros elsewhere
//	STOREM         stores the elements of V0 under the mask to DI
//	ZERO(v)        v = 0
//	FLOOR(v)       rounds v down
//	LIMITS         corrects the result V5 of e^V0 if V0 is too large, too small or NaN; leaves it in V0
//	STEP           V0 = 1 if V0 > 0, else 0; expects 0 in V2 and 1 in V6
//	LARGER         V0 = V0 if V0 >= V1 or V0 is a NaN, else V1
//
// Loops run over CX elements. They read from SI, and from DX if there is a second operand, and write to DI. Every
// operation rounds separately, as in the loops in Go, so the bits are the same.
//
// TWO applies BODY to two operands in V0 and V1. ONE applies BODY to one operand in V0. BODY leaves its result in V0.
// V2 holds a scalar operand, register 3 the mask of AVX2, and V6 to V15 constants. V4 is free, and so is V5 except in
// AFFINE, which adds it.

#define TWO(BODY) \
	SUBQ $(4*VN), CX; JLT rest; \
unrolled: \
	VMOVUPS (0*VB)(SI), V0; VMOVUPS (0*VB)(DX), V1; BODY; VMOVUPS V0, (0*VB)(DI); \
	VMOVUPS (1*VB)(SI), V0; VMOVUPS (1*VB)(DX), V1; BODY; VMOVUPS V0, (1*VB)(DI); \
	VMOVUPS (2*VB)(SI), V0; VMOVUPS (2*VB)(DX), V1; BODY; VMOVUPS V0, (2*VB)(DI); \
	VMOVUPS (3*VB)(SI), V0; VMOVUPS (3*VB)(DX), V1; BODY; VMOVUPS V0, (3*VB)(DI); \
	ADDQ $(4*VB), SI; ADDQ $(4*VB), DX; ADDQ $(4*VB), DI; SUBQ $(4*VN), CX; JGE unrolled; \
rest: \
	ADDQ $(4*VN), CX; SUBQ $VN, CX; JLT tail; \
vector: \
	VMOVUPS (SI), V0; VMOVUPS (DX), V1; BODY; VMOVUPS V0, (DI); \
	ADDQ $VB, SI; ADDQ $VB, DX; ADDQ $VB, DI; SUBQ $VN, CX; JGE vector; \
tail: \
	ADDQ $VN, CX; JEQ done; TAIL; \
	LOADM(SI, V0); LOADM(DX, V1); BODY; STOREM; \
done: \
	VZEROUPPER; RET

#define ONE(BODY) \
	SUBQ $(4*VN), CX; JLT rest; \
unrolled: \
	VMOVUPS (0*VB)(SI), V0; BODY; VMOVUPS V0, (0*VB)(DI); \
	VMOVUPS (1*VB)(SI), V0; BODY; VMOVUPS V0, (1*VB)(DI); \
	VMOVUPS (2*VB)(SI), V0; BODY; VMOVUPS V0, (2*VB)(DI); \
	VMOVUPS (3*VB)(SI), V0; BODY; VMOVUPS V0, (3*VB)(DI); \
	ADDQ $(4*VB), SI; ADDQ $(4*VB), DI; SUBQ $(4*VN), CX; JGE unrolled; \
rest: \
	ADDQ $(4*VN), CX; SUBQ $VN, CX; JLT tail; \
vector: \
	VMOVUPS (SI), V0; BODY; VMOVUPS V0, (DI); \
	ADDQ $VB, SI; ADDQ $VB, DI; SUBQ $VN, CX; JGE vector; \
tail: \
	ADDQ $VN, CX; JEQ done; TAIL; \
	LOADM(SI, V0); BODY; STOREM; \
done: \
	VZEROUPPER; RET

#define ADD VADDPS V1, V0, V0
#define SUB VSUBPS V1, V0, V0
#define MUL VMULPS V1, V0, V0
#define DIV VDIVPS V1, V0, V0
#define SQRT VSQRTPS V0, V0

#define ADDS VADDPS V2, V0, V0
#define SUBS VSUBPS V2, V0, V0
#define SFROM VSUBPS V0, V2, V0
#define MULS VMULPS V2, V0, V0
#define DIVS VDIVPS V2, V0, V0
#define SOVER VDIVPS V0, V2, V0
#define AFFINE VMULPS V2, V0, V0; VADDPS V5, V0, V0

// s + x·(s·(1-s)), for x in V0 and s in V1.
#define SILU1 VSUBPS V1, V6, V4; VMULPS V1, V4, V4; VMULPS V0, V4, V4; VADDPS V1, V4, V0
// (s·(1-s))·(2 + x·(1-2s)), with 2 in V7.
#define SILU2 \
	VSUBPS V1, V6, V4; VMULPS V1, V4, V4; VMULPS V1, V7, V5; VSUBPS V5, V6, V5; VMULPS V0, V5, V5; VADDPS V7, V5, V5; \
	VMULPS V5, V4, V0

#define CONSTANT(at, v) VBROADCASTSS expTable<>+at(SB), v
#define LOAD1 CONSTANT(0, V6)
#define LOAD2 CONSTANT(0, V6); CONSTANT(4, V7)
#define LOADSTEP CONSTANT(0, V6); ZERO(V2)
#define LOADSIGMOID EXPCONSTANTS; ZERO(V2)
#define EXPCONSTANTS \
	CONSTANT(0, V6); CONSTANT(8, V7); CONSTANT(12, V8); CONSTANT(16, V9); CONSTANT(20, V10); \
	CONSTANT(24, V11); CONSTANT(28, V12); CONSTANT(32, V13); CONSTANT(36, V14); CONSTANT(40, V15)

// e^x as in exp32; 1/2 is also the coefficient of x^2.
#define EXP \
	VMULPS V7, V0, V4; VADDPS V8, V4, V4; FLOOR(V4); \
	VMULPS V9, V4, V5; VSUBPS V5, V0, V1; VMULPS V10, V4, V5; VSUBPS V5, V1, V1; \
	VMULPS V1, V11, V5; VADDPS V12, V5, V5; VMULPS V1, V5, V5; VADDPS V13, V5, V5; VMULPS V1, V5, V5; VADDPS V14, V5, V5; \
	VMULPS V1, V5, V5; VADDPS V15, V5, V5; VMULPS V1, V5, V5; VADDPS V8, V5, V5; \
	VMULPS V1, V5, V5; VMULPS V1, V5, V5; VADDPS V1, V5, V5; VADDPS V6, V5, V5; \
	VCVTTPS2DQ V4, V4; VPSLLD $23, V4, V4; VPADDD V4, V5, V5; LIMITS

#define EXPSHIFTED VSUBPS V2, V0, V0; EXP
#define SIGMOID VSUBPS V0, V2, V0; EXP; VADDPS V6, V0, V0; VDIVPS V0, V6, V0

DATA expTable<>+0(SB)/4, $0x3f800000 // 1
DATA expTable<>+4(SB)/4, $0x40000000 // 2
DATA expTable<>+8(SB)/4, $0x3fb8aa3b // 1 / ln 2
DATA expTable<>+12(SB)/4, $0x3f000000 // 1/2
DATA expTable<>+16(SB)/4, $0x3f318000 // 0.693359375
DATA expTable<>+20(SB)/4, $0xb95e8083 // -2.12194440e-4
DATA expTable<>+24(SB)/4, $0x39506967 // 1.9875691500e-4
DATA expTable<>+28(SB)/4, $0x3ab743ce // 1.3981999507e-3
DATA expTable<>+32(SB)/4, $0x3c088908 // 8.3334519073e-3
DATA expTable<>+36(SB)/4, $0x3d2aa9c1 // 4.1665795894e-2
DATA expTable<>+40(SB)/4, $0x3e2aaaaa // 1.6666665459e-1
GLOBL expTable<>(SB), RODATA|NOPTR, $44

// Macros that define functions, one macro for each signature: BINARY(dst, a, b *float32, n int), UNARY(dst, a *float32,
// n int), SCALAR(dst, a *float32, s float32, n int), AFFINELOOP(dst, a *float32, p, q float32, n int) and FILL(dst
// *float32, s float32, n int). SETUP loads the constants that BODY uses.

#define NONE

#define BINARY(name, SETUP, BODY) \
TEXT name(SB), NOSPLIT, $0-32; \
	MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; MOVQ b+16(FP), DX; MOVQ n+24(FP), CX; SETUP; TWO(BODY)

#define UNARY(name, SETUP, BODY) \
TEXT name(SB), NOSPLIT, $0-24; \
	MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; MOVQ n+16(FP), CX; SETUP; ONE(BODY)

#define SCALAR(name, SETUP, BODY) \
TEXT name(SB), NOSPLIT, $0-32; \
	MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; VBROADCASTSS s+16(FP), V2; MOVQ n+24(FP), CX; SETUP; ONE(BODY)

#define AFFINELOOP(name) \
TEXT name(SB), NOSPLIT, $0-32; \
	MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; VBROADCASTSS p+16(FP), V2; VBROADCASTSS q+20(FP), V5; MOVQ n+24(FP), CX; \
	ONE(AFFINE)

#define FILL(name) \
TEXT name(SB), NOSPLIT, $0-24; \
	MOVQ dst+0(FP), DI; VBROADCASTSS s+8(FP), V0; MOVQ n+16(FP), CX; \
	SUBQ $VN, CX; JLT tail; \
vector: \
	VMOVUPS V0, (DI); ADDQ $VB, DI; SUBQ $VN, CX; JGE vector; \
tail: \
	ADDQ $VN, CX; JEQ done; TAIL; STOREM; \
done: \
	VZEROUPPER; RET

// COLUMNS loads the first arguments of copyColumns: SI and DI are addresses, DX and R10 the bytes from row to row.
#define COLUMNS \
	MOVQ dst+0(FP), DI; MOVQ dstStride+8(FP), R10; SHLQ $2, R10; \
	MOVQ src+16(FP), SI; MOVQ at+24(FP), AX; LEAQ (SI)(AX*4), SI; MOVQ srcStride+32(FP), DX; SHLQ $2, DX

// FOLD reduces the lanes of Y0 to one value in X0: it combines the two halves until one lane is left.
#define FOLD(PACKED, SINGLE) \
	VEXTRACTF128 $1, Y0, X1; PACKED X1, X0, X0; VPERMILPS $0x0e, X0, X1; PACKED X1, X0, X0; \
	VMOVSHDUP X0, X1; SINGLE X1, X0, X0
