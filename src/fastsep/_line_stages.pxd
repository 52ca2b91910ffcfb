"""From passes and arrays to stages."""

from libc.stdint cimport int64_t

from fastsep._arrays cimport View
from fastsep._isa cimport fs_real_kernels
from fastsep._line_types cimport elements, lines_call, lines_pass


cdef class Operand:
    cdef View view
    cdef elements elements
    cdef int ndim
    cdef object array

cdef int code_of(object dtype) except -1
cdef int fill_pass(lines_pass *p, object spec, Operand x, Operand out, const fs_real_kernels *kernels, bint exact,
                   double unit, list held) except -1
cdef int shape_stage(lines_call *c, Operand x, Operand out, int through, int down, int along) except -1
cdef bint goes_along(Operand x, Operand out, object spec, bint running) except -1
cdef bint fuses_volume(object passes, Operand x, Operand out) except -1
cdef bint fuses_in_place(object passes, int first, object output, bint already) except -1
cdef int set_rounding(lines_pass *p, object factor, object division, int working, int item_bytes, bint once,
                      bint last) except -1
cdef int set_decision(lines_pass *p, object spec, object decision, object stored, list held) except -1
