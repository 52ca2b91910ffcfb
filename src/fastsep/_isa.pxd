"""The C structures of fastsep_kernels.h, and the table in use."""

from libc.stdint cimport int32_t, int64_t


cdef extern from "fastsep_kernels.h" nogil:
    enum:
        FS_STRIP_INPUTS

    enum fs_activation:
        FS_CLAMP, FS_SIGMOID, FS_HARD_SIGMOID, FS_SILU, FS_HARD_SWISH, FS_GELU, FS_GELU_TANH

    struct fs_epilogue:
        fs_activation activation
        double low, high

    struct fs_panel:
        int64_t pixels, taps, channels
        const char *const *rows
        int64_t rows_stride, channel_offset
        const void *weights
        const void *bias
        int64_t vectors, outputs
        char *const *out
        const char *const *residual
        int64_t output_offset
        int cold
        const char *ahead
        int64_t ahead_bytes
        const fs_epilogue *epilogue

    struct fs_row:
        const char *data
        int64_t pixel_stride

    struct fs_strip:
        int64_t output_rows
        int64_t depth_taps, height_taps, width_taps
        int64_t row_step
        const fs_row *rows
        int64_t first_column, columns
        int64_t stride, dilation, before, width
        int64_t channels, ahead
        int in_lines
        const char *zeros
        const char **pixels
        const void *weights
        const void *bias
        char *out[2]
        int64_t out_pixel_stride
        const char *residual[2]
        int64_t residual_pixel_stride
        const fs_epilogue *epilogue

    struct fs_relayout:
        int64_t pixels, channels, repeat
        const char *from_ "from"
        int64_t from_pixel_stride, from_channel_stride
        char *to
        int64_t to_pixel_stride, to_channel_stride

    struct fs_sums:
        int64_t pixels, channels
        const char *from_ "from"
        int64_t pixel_stride
        char *sums
        int begin
        double divisor

    struct fs_scaling:
        int64_t pixels, channels
        const char *from_ "from"
        int64_t from_pixel_stride
        const char *factors
        char *to
        int64_t to_pixel_stride

    struct fs_elementwise:
        int64_t pixels, channels
        const char *x
        int64_t x_pixel_stride
        const char *other
        int64_t other_pixel_stride
        int multiplies
        char *out
        int64_t out_pixel_stride
        const fs_epilogue *epilogue

    struct fs_pool:
        int largest
        int64_t row_count
        const char *const *rows
        int64_t pixel_stride
        int64_t first_column, columns
        int64_t taps, stride, dilation, before, width
        int64_t channels
        char *out
        int64_t out_pixel_stride
        int64_t counted_rows
        int64_t margins[2]

    enum fs_dtype:
        FS_U8, FS_I8, FS_U16, FS_I16, FS_U32, FS_I32, FS_U64, FS_I64, FS_F32, FS_F64

    enum fs_missing:
        FS_KEPT, FS_ZEROED, FS_WEIGHED

    enum fs_joint:
        FS_QUOTIENTS, FS_MAGNITUDES, FS_SUMS

    struct fs_join:
        fs_joint kind
        int64_t rows, columns, offset
        char *const *first
        char *const *second
        double whole

    struct fs_transfer:
        fs_dtype dtype
        int swapped
        int64_t rows, columns
        char *const *array
        int64_t offset, step
        double constant, low, high
        fs_missing missing
        int64_t ahead, ahead_bytes
        char *buffer
        int64_t row_stride

    struct fs_ahead:
        char *const *rows
        int64_t count, lines, offset

    enum fs_folding:
        FS_ANTISYMMETRIC, FS_UNFOLDED, FS_SYMMETRIC

    struct fs_lines:
        int64_t outputs, vectors, taps
        const char *rows
        int64_t row_stride
        char *out
        int64_t out_stride
        const void *weights
        fs_folding folding
        int exact, once, rounds, words_in, words_out
        double start, factor, low, high, divisor
        int bytes_in, bytes_out
        int32_t half, shift, multiplier
        int64_t tap_stride
        char *sums
        fs_ahead ahead[2]

    struct fs_bits:
        int64_t outputs, vectors, taps
        const char *rows
        int64_t row_stride, tap_stride
        char *sums
        int64_t sums_stride
        char *memory
        const double *weights
        fs_folding folding
        int is_signed
        float relative, absolute
        double factor
        int wraps
        int32_t mask, sign

    struct fs_footprint:
        int64_t taps, vectors
        const char *const *rows
        const void *weights
        char *out
        int exact

    struct fs_turn:
        int64_t columns, count
        char *const *rows
        int64_t offset
        char *lanes

    struct fs_real_kernels:
        int64_t bytes, lanes, panel_vectors
        int64_t panel_pixels[5]
        int64_t strip_rows, strip_columns
        void (*pointwise_panel)(const fs_panel *) noexcept nogil
        void (*depthwise_strip)(const fs_strip *) noexcept nogil
        void (*relayout)(const fs_relayout *) noexcept nogil
        void (*sum_pixels)(const fs_sums *) noexcept nogil
        void (*scale_pixels)(const fs_scaling *) noexcept nogil
        void (*elementwise)(const fs_elementwise *) noexcept nogil
        void (*pool_row)(const fs_pool *) noexcept nogil
        void (*lines_load)(const fs_transfer *) noexcept nogil
        void (*lines_store)(const fs_transfer *) noexcept nogil
        void (*lines_settle)(const fs_transfer *) noexcept nogil
        void (*lines_filter)(const fs_lines *) noexcept nogil
        void (*lines_run)(const fs_lines *, int) noexcept nogil
        void (*lines_turn)(const fs_turn *) noexcept nogil
        void (*lines_turn_back)(const fs_turn *) noexcept nogil
        void (*lines_join)(const fs_join *) noexcept nogil
        int (*lines_missing)(const char *, int64_t) noexcept nogil
        void (*footprint_row)(const fs_footprint *) noexcept nogil
        double (*fma_burst)(int64_t) noexcept nogil
        double (*clock_burst)(int64_t, int) noexcept nogil
        double (*read_burst)(const void *, int64_t, int64_t) noexcept nogil
        double (*copy_burst)(void *, const void *, int64_t, int64_t) noexcept nogil

    struct fs_line_kernels:
        int64_t bytes, lanes
        int stores_words
        void (*lines_load)(const fs_transfer *) noexcept nogil
        void (*lines_store)(const fs_transfer *) noexcept nogil
        void (*lines_down)(const fs_lines *) noexcept nogil
        void (*lines_along)(const fs_lines *) noexcept nogil
        void (*lines_bits)(const fs_bits *) noexcept nogil

    struct fs_kernels:
        const char *name
        int64_t vector_bytes, vector_registers
        int has_fma
        fs_real_kernels types[2]
        fs_line_kernels lines[3]


cdef struct cache_sizes:
    int64_t level1, level2, level3


cdef const fs_real_kernels *kernels_named(str isa, int64_t item_bytes) except NULL
cdef const fs_line_kernels *line_kernels(str isa, int64_t item_bytes) except NULL
cdef const fs_real_kernels *panel_kernels(str isa, int64_t item_bytes, int64_t outputs) except NULL
cdef const cache_sizes *caches() noexcept nogil
