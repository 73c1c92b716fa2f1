package tape

import "vapo/lib/blas"

var goBLAS, _ = blas.Open("go")
