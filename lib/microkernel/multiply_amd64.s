#include "textflag.h"
#include "rows_amd64.h"
#include "multiply_amd64.h"

KERNEL(·kernel8x3x16, MASK, ZERO24, LOAD3, ROWS8x3, OUTS8x3)
KERNEL(·kernel8x2x16, MASK, ZERO16, LOAD2, ROWS8x2, OUTS8x2)
KERNEL(·kernel8x1x16, MASK, ZERO8, LOAD1, ROWS8x1, OUTS8x1)
KERNEL(·kernel4x3x16, MASK, ZERO12, LOAD3, ROWS4x3, OUTS4x3)

// The last vector of a row has R12 elements, and its mask is at R13. If a row has three vectors, no register is left
// for the mask, so the mask is loaded for every term.
#define PART MOVQ last+56(FP), R12; MASKY(R13)
#define MASKY4 PART; VMOVUPS (R13), Y14
#define LOADY3M \
	VMOVUPS (DI)(R9*4), Y12; VMOVUPS 32(DI)(R9*4), Y13; VMOVUPS (R13), Y14; VMASKMOVPS 64(DI)(R9*4), Y14, Y14
#define OUTSY4x3M VMOVUPS (R13), Y14; OUTSY4x3

KERNEL(·kernel4x3x8, WHOLE, ZEROY12, LOADY3, ROWSY4x3, WHOLESY4x3)
KERNEL(·kernel4x3x8m, PART, ZEROY12, LOADY3M, ROWSY4x3, OUTSY4x3M)
KERNEL(·kernel4x2x8, MASKY4, ZEROY8, LOADY2, ROWSY4x2, OUTSY4x2)
KERNEL(·kernel4x1x8, MASKY4, ZEROY4, LOADY1, ROWSY4x1, OUTSY4x1)
