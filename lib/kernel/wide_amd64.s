#include "textflag.h"

// Loops over CX elements on AVX-512, the last of them under the mask K1. DI is written; SI, and DX where there is a second
// operand, are read. Each operation rounds by itself, as in the loops in Go, so the bits are the same.

// Macros that take a BODY run it on Z0, with its operands there and in Z1, and its result left in Z0.

#define TAIL MOVQ $1, AX; SHLQ CX, AX; DECQ AX; KMOVW AX, K1

#define TWO(BODY) \
	MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; MOVQ b+16(FP), DX; MOVQ n+24(FP), CX; \
	SUBQ $64, CX; JLT few; \
many: \
	VMOVUPS (SI), Z0; VMOVUPS (DX), Z1; BODY; VMOVUPS Z0, (DI); \
	VMOVUPS 64(SI), Z0; VMOVUPS 64(DX), Z1; BODY; VMOVUPS Z0, 64(DI); \
	VMOVUPS 128(SI), Z0; VMOVUPS 128(DX), Z1; BODY; VMOVUPS Z0, 128(DI); \
	VMOVUPS 192(SI), Z0; VMOVUPS 192(DX), Z1; BODY; VMOVUPS Z0, 192(DI); \
	ADDQ $256, SI; ADDQ $256, DX; ADDQ $256, DI; SUBQ $64, CX; JGE many; \
few: \
	ADDQ $64, CX; SUBQ $16, CX; JLT tail; \
one: \
	VMOVUPS (SI), Z0; VMOVUPS (DX), Z1; BODY; VMOVUPS Z0, (DI); \
	ADDQ $64, SI; ADDQ $64, DX; ADDQ $64, DI; SUBQ $16, CX; JGE one; \
tail: \
	ADDQ $16, CX; JEQ done; TAIL; \
	VMOVUPS.Z (SI), K1, Z0; VMOVUPS.Z (DX), K1, Z1; BODY; VMOVUPS Z0, K1, (DI); \
done: \
	VZEROUPPER; RET

#define ONE(BODY) \
	SUBQ $64, CX; JLT few; \
many: \
	VMOVUPS (SI), Z0; BODY; VMOVUPS Z0, (DI); \
	VMOVUPS 64(SI), Z0; BODY; VMOVUPS Z0, 64(DI); \
	VMOVUPS 128(SI), Z0; BODY; VMOVUPS Z0, 128(DI); \
	VMOVUPS 192(SI), Z0; BODY; VMOVUPS Z0, 192(DI); \
	ADDQ $256, SI; ADDQ $256, DI; SUBQ $64, CX; JGE many; \
few: \
	ADDQ $64, CX; SUBQ $16, CX; JLT tail; \
one: \
	VMOVUPS (SI), Z0; BODY; VMOVUPS Z0, (DI); \
	ADDQ $64, SI; ADDQ $64, DI; SUBQ $16, CX; JGE one; \
tail: \
	ADDQ $16, CX; JEQ done; TAIL; \
	VMOVUPS.Z (SI), K1, Z0; BODY; VMOVUPS Z0, K1, (DI); \
done: \
	VZEROUPPER; RET

#define UNARY MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; MOVQ n+16(FP), CX
#define WITH MOVQ dst+0(FP), DI; MOVQ a+8(FP), SI; VBROADCASTSS s+16(FP), Z2; MOVQ n+24(FP), CX

#define ADD VADDPS Z1, Z0, Z0
#define SUB VSUBPS Z1, Z0, Z0
#define MUL VMULPS Z1, Z0, Z0
#define DIV VDIVPS Z1, Z0, Z0

#define ADDS VADDPS Z2, Z0, Z0
#define SUBS VSUBPS Z2, Z0, Z0
#define SFROM VSUBPS Z0, Z2, Z0
#define MULS VMULPS Z2, Z0, Z0
#define DIVS VDIVPS Z2, Z0, Z0
#define SOVER VDIVPS Z0, Z2, Z0
#define AFFINE VMULPS Z2, Z0, Z0; VADDPS Z3, Z0, Z0

// s + x·(s·(1-s)), for x in Z0 and s in Z1.
#define SILU1 VSUBPS Z1, Z16, Z4; VMULPS Z1, Z4, Z4; VMULPS Z0, Z4, Z4; VADDPS Z1, Z4, Z0
// (s·(1-s))·(2 + x·(1-2s))
#define SILU2 VSUBPS Z1, Z16, Z4; VMULPS Z1, Z4, Z4; VMULPS Z1, Z17, Z5; VSUBPS Z5, Z16, Z5; VMULPS Z0, Z5, Z5; VADDPS Z17, Z5, Z5; VMULPS Z5, Z4, Z0

#define CONSTANT(at, z) VBROADCASTSS expTable<>+at(SB), z
#define CONSTANTS \
	CONSTANT(0, Z16); CONSTANT(4, Z17); CONSTANT(8, Z18); CONSTANT(12, Z19); CONSTANT(16, Z20); CONSTANT(20, Z21); \
	CONSTANT(24, Z22); CONSTANT(28, Z23); CONSTANT(32, Z24); CONSTANT(36, Z25); CONSTANT(40, Z26); CONSTANT(44, Z27); \
	CONSTANT(48, Z28); CONSTANT(52, Z29); CONSTANT(56, Z30)

// e^x as exp32 computes it.
#define EXP \
	VMULPS Z18, Z0, Z4; VADDPS Z19, Z4, Z4; VRNDSCALEPS $1, Z4, Z4; \
	VMULPS Z20, Z4, Z5; VSUBPS Z5, Z0, Z5; VMULPS Z21, Z4, Z6; VSUBPS Z6, Z5, Z5; \
	VMULPS Z5, Z22, Z6; VADDPS Z23, Z6, Z6; VMULPS Z5, Z6, Z6; VADDPS Z24, Z6, Z6; VMULPS Z5, Z6, Z6; VADDPS Z25, Z6, Z6; \
	VMULPS Z5, Z6, Z6; VADDPS Z26, Z6, Z6; VMULPS Z5, Z6, Z6; VADDPS Z27, Z6, Z6; \
	VMULPS Z5, Z6, Z6; VMULPS Z5, Z6, Z6; VADDPS Z5, Z6, Z6; VADDPS Z16, Z6, Z6; \
	VCVTTPS2DQ Z4, Z4; VPSLLD $23, Z4, Z4; VPADDD Z4, Z6, Z6; \
	VCMPPS $30, Z28, Z0, K2; VMOVAPS Z30, K2, Z6; \
	VCMPPS $17, Z29, Z0, K2; VPXORD Z6, Z6, K2, Z6; \
	VCMPPS $3, Z0, Z0, K2; VMOVAPS Z0, K2, Z6; VMOVAPS Z6, Z0

#define SIGMOID VSUBPS Z0, Z31, Z0; EXP; VADDPS Z16, Z0, Z0; VDIVPS Z0, Z16, Z0

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
DATA expTable<>+44(SB)/4, $0x3f000000 // 5.0000001201e-1
DATA expTable<>+48(SB)/4, $0x42b17218 // expHigh
DATA expTable<>+52(SB)/4, $0xc2aeac50 // expLow
DATA expTable<>+56(SB)/4, $0x7f800000 // infinity
GLOBL expTable<>(SB), RODATA|NOPTR, $60

// func add512(dst, a, b *float32, n int)
TEXT ·add512(SB), NOSPLIT, $0-32
	TWO(ADD)

// func sub512(dst, a, b *float32, n int)
TEXT ·sub512(SB), NOSPLIT, $0-32
	TWO(SUB)

// func mul512(dst, a, b *float32, n int)
TEXT ·mul512(SB), NOSPLIT, $0-32
	TWO(MUL)

// func div512(dst, a, b *float32, n int)
TEXT ·div512(SB), NOSPLIT, $0-32
	TWO(DIV)

// func silu1x512(dst, a, b *float32, n int)
TEXT ·silu1x512(SB), NOSPLIT, $0-32
	CONSTANT(0, Z16)
	TWO(SILU1)

// func silu2x512(dst, a, b *float32, n int)
TEXT ·silu2x512(SB), NOSPLIT, $0-32
	CONSTANT(0, Z16)
	CONSTANT(4, Z17)
	TWO(SILU2)

// func addScalar512(dst, a *float32, s float32, n int)
TEXT ·addScalar512(SB), NOSPLIT, $0-32
	WITH
	ONE(ADDS)

// func subScalar512(dst, a *float32, s float32, n int)
TEXT ·subScalar512(SB), NOSPLIT, $0-32
	WITH
	ONE(SUBS)

// func scalarSub512(dst, a *float32, s float32, n int)
TEXT ·scalarSub512(SB), NOSPLIT, $0-32
	WITH
	ONE(SFROM)

// func mulScalar512(dst, a *float32, s float32, n int)
TEXT ·mulScalar512(SB), NOSPLIT, $0-32
	WITH
	ONE(MULS)

// func divScalar512(dst, a *float32, s float32, n int)
TEXT ·divScalar512(SB), NOSPLIT, $0-32
	WITH
	ONE(DIVS)

// func scalarDiv512(dst, a *float32, s float32, n int)
TEXT ·scalarDiv512(SB), NOSPLIT, $0-32
	WITH
	ONE(SOVER)

// func affine512(dst, a *float32, p, q float32, n int)
TEXT ·affine512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	VBROADCASTSS p+16(FP), Z2
	VBROADCASTSS q+20(FP), Z3
	MOVQ n+24(FP), CX
	ONE(AFFINE)

// func exp512(dst, a *float32, n int)
TEXT ·exp512(SB), NOSPLIT, $0-24
	UNARY
	CONSTANTS
	ONE(EXP)

// func sigmoid512(dst, a *float32, n int)
TEXT ·sigmoid512(SB), NOSPLIT, $0-24
	UNARY
	CONSTANTS
	VPXORD Z31, Z31, Z31
	ONE(SIGMOID)

// func fill512(dst *float32, s float32, n int)
TEXT ·fill512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	VBROADCASTSS s+8(FP), Z0
	MOVQ n+16(FP), CX
	SUBQ $16, CX
	JLT tail
one:
	VMOVUPS Z0, (DI)
	ADDQ $64, DI
	SUBQ $16, CX
	JGE one
tail:
	ADDQ $16, CX
	JEQ done
	TAIL
	VMOVUPS Z0, K1, (DI)
done:
	VZEROUPPER
	RET

// func copyColumns512(dst *float32, dstStep int, src *float32, at, srcStep, rows, load, store int)
TEXT ·copyColumns512(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ dstStep+8(FP), R10
	SHLQ $2, R10
	MOVQ src+16(FP), SI
	MOVQ at+24(FP), AX
	LEAQ (SI)(AX*4), SI
	MOVQ srcStep+32(FP), DX
	SHLQ $2, DX
	MOVQ rows+40(FP), CX
	MOVQ load+48(FP), AX
	KMOVW AX, K1
	MOVQ store+56(FP), AX
	KMOVW AX, K2
	LEAQ (SI)(DX*1), R8
	LEAQ (DI)(R10*1), R9
	SUBQ $2, CX
	JLT odd
pair:
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS.Z (R8), K1, Z1
	VMOVUPS Z0, K2, (DI)
	VMOVUPS Z1, K2, (R9)
	LEAQ (SI)(DX*2), SI
	LEAQ (R8)(DX*2), R8
	LEAQ (DI)(R10*2), DI
	LEAQ (R9)(R10*2), R9
	SUBQ $2, CX
	JGE pair
odd:
	ADDQ $2, CX
	JEQ done
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS Z0, K2, (DI)
done:
	VZEROUPPER
	RET

// Z0 and Z1 are the sums of lanes 0 to 15 and 16 to 31; the operation's elements are at SI, CX of them.
#define LANES \
	SUBQ $32, CX; JLT rest; \
pair: \
	VADDPS (SI), Z0, Z0; VADDPS 64(SI), Z1, Z1; ADDQ $128, SI; SUBQ $32, CX; JGE pair; \
rest: \
	ADDQ $32, CX; JEQ done; MOVQ $1, AX; SHLQ CX, AX; DECQ AX; KMOVW AX, K1; SHRQ $16, AX; KMOVW AX, K2; \
	VMOVUPS.Z (SI), K1, Z2; VADDPS Z2, Z0, K1, Z0; VMOVUPS.Z 64(SI), K2, Z2; VADDPS Z2, Z1, K2, Z1; \
done:

// func addLanes512(lanes *[32]float32, v *float32, n int)
TEXT ·addLanes512(SB), NOSPLIT, $0-24
	MOVQ lanes+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ n+16(FP), CX
	VMOVUPS (DI), Z0
	VMOVUPS 64(DI), Z1
	LANES
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	VZEROUPPER
	RET

// func sum512(v *float32, n int) float32
TEXT ·sum512(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ n+8(FP), CX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	LANES
	VADDPS Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VPERMILPS $0x0e, X0, X1
	VADDPS X1, X0, X0
	VMOVSHDUP X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET
