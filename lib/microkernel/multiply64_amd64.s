#include "textflag.h"
#define FLOAT64
#include "rows_amd64.h"
#include "multiply_amd64.h"

KERNEL(·kernel8x3x8f64, MASK, ZERO24, LOAD3, ROWS8x3, OUTS8x3)
KERNEL(·kernel8x2x8f64, MASK, ZERO16, LOAD2, ROWS8x2, OUTS8x2)
KERNEL(·kernel8x1x8f64, MASK, ZERO8, LOAD1, ROWS8x1, OUTS8x1)

// The argument mask points to the mask of the last vector.
#define MASKY4 MOVQ mask+56(FP), R9; VMOVUPD (R9), Y14

KERNEL(·kernel4x3x4f64, WHOLE, ZEROY12, LOADY3, ROWSY4x3, WHOLESY4x3)
KERNEL(·kernel4x2x4f64, MASKY4, ZEROY8, LOADY2, ROWSY4x2, OUTSY4x2)
KERNEL(·kernel4x1x4f64, MASKY4, ZEROY4, LOADY1, ROWSY4x1, OUTSY4x1)
