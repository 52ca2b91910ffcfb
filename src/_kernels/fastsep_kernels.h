/* The C face of the micro-kernels: what one register-tile function is given, and the table of functions that
 * an instruction set offers. Drivers (Cython) see nothing else of the C code.
 *
 * All strides and offsets are in bytes, so that unaligned and oddly strided arrays need no special case.
 * Every pointer is borrowed; nothing here allocates, and there is no mutable global.
 */
#ifndef FASTSEP_KERNELS_H
#define FASTSEP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum fs_activation {
    FS_CLAMP = 0, /* none, relu, relu6 and (low, high): bounds of ±inf mean none */
    FS_SIGMOID,
    FS_HARD_SIGMOID,
    FS_SILU,
    FS_HARD_SWISH,
    FS_GELU,
    FS_GELU_TANH,
};

/* What happens to a sum before it is stored: clamp in registers, or one of the curves on the row just
 * written, which is still in L1. */
struct fs_epilogue {
    enum fs_activation activation;
    double low, high;
};

/* pointwise.inc: `pixels` × one panel of output channels.
 *   out[m][n] = activation(bias[n] + Σ_tap Σ_k rows[tap][m][k] · weights[tap][k][n] + residual[m][n]) */
struct fs_panel {
    int64_t pixels, taps, channels;
    const char *const *rows;     /* [taps][rows_stride]: first channel of pixel m as tap t sees it */
    int64_t rows_stride;
    int64_t channel_offset;      /* added to every row: the group's first input channel */
    const void *weights;         /* [taps][channels][vectors · lanes], 64-byte aligned */
    const void *bias;            /* [vectors · lanes] */
    int64_t vectors;             /* width of the panel */
    int64_t outputs;             /* of which this many are real: (vectors - 1)·lanes < outputs <= vectors·lanes */
    char *const *out;            /* [pixels] */
    const char *const *residual; /* [pixels] or NULL */
    int64_t output_offset;       /* added to every out and residual pointer: the panel's first channel */
    int cold;                    /* the outputs lie beyond L2: fetch a tile's lines for writing before its sums */
    const char *ahead;           /* the weights that are needed next, to be brought to L2 meanwhile */
    int64_t ahead_bytes;
    const struct fs_epilogue *epilogue;
};

/* Input columns of the widest depthwise register tile of known width: (7 - 1)·2 + 7. */
#define FS_STRIP_INPUTS 19

/* One row of input as a depthwise tap row sees it. Rows outside the image are zeros with a pixel stride of 0. */
struct fs_row {
    const char *data;
    int64_t pixel_stride;
};

/* depthwise.inc: one or two output rows × `columns` × `channels`. */
struct fs_strip {
    int64_t output_rows;                       /* 1 or 2 */
    int64_t depth_taps, height_taps, width_taps;
    int64_t row_step;                          /* input rows between the two output rows */
    const struct fs_row *rows;                 /* [depth_taps][height_taps + (output_rows - 1)·row_step] */
    int64_t first_column, columns;             /* of the output */
    int64_t stride, dilation, before, width;   /* of the input along the row; `before` = columns of padding */
    int64_t channels;
    int64_t ahead;                             /* prefetch the rows so many bytes ahead; 0: do not */
    int in_lines;                              /* all channels of a pixel before the next: for what memory holds */
    const char *zeros;                         /* [channels]: a pixel of padding */
    const char **pixels;                       /* scratch: [rows][FS_STRIP_INPUTS] */
    const void *weights;                       /* [⌈channels/lanes⌉][taps][lanes], 64-byte aligned */
    const void *bias;                          /* [⌈channels/lanes⌉·lanes] */
    char *out[2];                              /* first pixel to write, first channel of the block */
    int64_t out_pixel_stride;
    const char *residual[2];                   /* or NULL */
    int64_t residual_pixel_stride;
    const struct fs_epilogue *epilogue;
};

/* layout.inc: pixels × channels from one layout to another; each source channel `repeat` times in a row. */
struct fs_relayout {
    int64_t pixels, channels, repeat;
    const char *from;
    int64_t from_pixel_stride, from_channel_stride;
    char *to;
    int64_t to_pixel_stride, to_channel_stride;
};

/* excite.inc: sums[c] = (sums[c] + Σ_p from[p][c]) / divisor, pixels ascending; divisor 1 leaves the sum. */
struct fs_sums {
    int64_t pixels, channels;
    const char *from;
    int64_t pixel_stride;
    char *sums;
    int begin;                /* from +0 instead of what `sums` holds */
    double divisor;
};

/* excite.inc: to[p][c] = from[p][c] · factors[c]. */
struct fs_scaling {
    int64_t pixels, channels;
    const char *from;
    int64_t from_pixel_stride;
    const char *factors;
    char *to;
    int64_t to_pixel_stride;
};

/* elementwise.inc: out[p][c] = activation(x[p][c] + other[p][c]), or x · other. */
struct fs_elementwise {
    int64_t pixels, channels;
    const char *x;
    int64_t x_pixel_stride;
    const char *other;           /* or NULL: activation(x) */
    int64_t other_pixel_stride;
    int multiplies;
    char *out;                   /* may be x */
    int64_t out_pixel_stride;
    const struct fs_epilogue *epilogue;
};

/* pooling.inc: one row of outputs, each the largest number its window sees, or the sum of them divided by how many
 * places of the window count. */
struct fs_pool {
    int largest;
    int64_t row_count;           /* of the rows that the window sees, those inside the image, ascending */
    const char *const *rows;     /* [row_count]: their column 0, first channel of the block */
    int64_t pixel_stride;
    int64_t first_column, columns;                   /* of the output */
    int64_t taps, stride, dilation, before, width;   /* along the row; `before` = columns of padding */
    int64_t channels;
    char *out;                   /* first pixel to write, first channel of the block */
    int64_t out_pixel_stride;
    int64_t counted_rows;        /* of a mean: rows of the window that count */
    int64_t margins[2];          /* columns of padding before and after the row that count */
};

/* lines.inc: element types of the arrays that row and column filters read and write. Bool is FS_U8. */
enum fs_dtype { FS_U8 = 0, FS_I8, FS_U16, FS_I16, FS_U32, FS_I32, FS_U64, FS_I64, FS_F32, FS_F64 };

/* lines.inc: of an array that is read: as it is, with 0 for NaN, or 0 for NaN and 1 for anything else. */
enum fs_missing { FS_KEPT = 0, FS_ZEROED, FS_WEIGHED };

/* lines.inc: rows of any type into rows of reals, or back; what leaves is cast as C does. */
struct fs_transfer {
    enum fs_dtype dtype;
    int swapped;                 /* the array's bytes are in the other order */
    int64_t rows, columns;
    char *const *array;          /* [rows]; when loading, NULL stands for a row of `constant` */
    int64_t offset, step;        /* in bytes: of the first column, and from one column to the next */
    double constant;
    double low, high;            /* of what lines16.inc stores */
    enum fs_missing missing;     /* when loading: what NaN becomes, and other numbers */
    int64_t ahead, ahead_bytes;  /* when loading: what else of each row is to be fetched, from `offset` on */
    char *buffer;                /* [rows][row_stride]: reals */
    int64_t row_stride;
};

/* Memory that is wanted soon: `lines` cache lines from `offset` on of each row, to be fetched into L2 between sums. */
struct fs_ahead {
    char *const *rows;           /* NULL: nowhere */
    int64_t count, lines, offset;
};

enum fs_folding { FS_ANTISYMMETRIC = -1, FS_UNFOLDED = 0, FS_SYMMETRIC = 1 };

/* lines.inc: out[r][c] = Σ_t weights[t] · rows[r + t][c] over whole vectors of columns. */
struct fs_lines {
    int64_t outputs, vectors, taps;
    const char *rows;            /* [outputs + taps - 1][row_stride] */
    int64_t row_stride;
    char *out;                   /* [outputs][out_stride] */
    int64_t out_stride;
    const void *weights;         /* [taps]; NULL: a mean of the window */
    enum fs_folding folding;
    int exact;                   /* no fused multiply-add: SciPy's roundings */
    int once;                    /* multiply-adds rounded once also where there is no such instruction */
    double start;                /* what the first product is added to: -0, or one half where floors round; of a mean,
                                  * what its product with `factor` is added to in place of a division */
    int rounds;                  /* to the nearest integer of `factor` times the sum, halves upward, in [low, high] */
    /* lines.inc: `rows` of a mean that does not divide, and `out`, are integers of 16 bits, side by side; of rows, -1
     * stands for integers with a sign */
    int words_in, words_out;
    double factor, low, high;
    double divisor;              /* of a mean, in place of `factor` */
    /* lines16.inc: (sum + half) >> shift, and for a box first the upper 16 bits of its product with `multiplier` */
    int32_t half, shift, multiplier;
    int bytes_in, bytes_out;     /* lines16.inc: `rows` are unsigned bytes; `out` is, the sums kept in [low, high] */
    int64_t tap_stride;          /* from one tap to the next along a row */
    char *sums;                  /* of a mean: one vector of scratch for each of the rows */
    struct fs_ahead ahead[2];
};

/* bits.inc: sums of float32, whole vectors of them, become the integers that SciPy's sums in double become. */
struct fs_bits {
    int64_t outputs, vectors, taps;
    const char *rows;            /* what was summed: the window of a sum begins where the sum would lie in `rows` */
    int64_t row_stride, tap_stride;
    char *sums;                  /* [outputs][sums_stride]; integers when it is done */
    int64_t sums_stride;
    char *memory;                /* three vectors of scratch for each of `vectors`, aligned as they are */
    const double *weights;       /* [taps] as SciPy has them; NULL: a mean, sums not divided yet */
    enum fs_folding folding;
    int is_signed;               /* sums may be negative, and `relative` means nothing */
    float relative, absolute;    /* how far sums are off at most, the lesser of the two; 0: they are exact */
    double factor;               /* of a mean: what divides as `taps` does, or 0 where nothing but `taps` does */
    int wraps;                   /* whether integers may lie outside the output's type: of them the low bits are kept */
    int32_t mask, sign;          /* its bits, and the highest of them if that is a sign, else 0 */
};

/* lines.inc: as many rows as a vector has lanes become rows of lanes, or back: lanes[c][r] = rows[r][c]. */
struct fs_turn {
    int64_t columns;
    int64_t count;               /* of rows that there are; the lanes of others stay undefined, or unused */
    char *const *rows;           /* [count] */
    int64_t offset;              /* in bytes: of the first column in every row */
    char *lanes;                 /* [columns][FS_LANES] */
};

/* pairs.inc: what becomes of two numbers: the first over the second, times `whole`; √(first² + second²); their sum. */
enum fs_joint { FS_QUOTIENTS, FS_MAGNITUDES, FS_SUMS };
struct fs_join {
    enum fs_joint kind;
    int64_t rows, columns, offset;  /* in bytes: of the first column */
    char *const *first;             /* [rows], of reals; written to */
    char *const *second;            /* [rows] */
    double whole;
};

/* footprint.inc: out[c] = Σ_t weights[t] · rows[t][c] over whole vectors of columns, the taps in order. */
struct fs_footprint {
    int64_t taps, vectors;
    const char *const *rows;     /* [taps] */
    const void *weights;         /* [taps] */
    char *out;
    int exact;                   /* no fused multiply-add: SciPy's roundings */
};

struct fs_real_kernels {
    int64_t bytes;            /* of one element */
    int64_t lanes;            /* elements of one vector */
    int64_t panel_vectors;    /* width of a panel; a last one may have from 1 to one more than that */
    int64_t panel_pixels[5];  /* rows of the register tile for a panel of 0…4 vectors; 0: there is none */
    int64_t strip_rows;       /* output rows of the depthwise register tile */
    int64_t strip_columns;    /* output columns of the depthwise register tile */
    void (*pointwise_panel)(const struct fs_panel *);
    void (*depthwise_strip)(const struct fs_strip *);
    void (*relayout)(const struct fs_relayout *);
    void (*sum_pixels)(const struct fs_sums *);
    void (*scale_pixels)(const struct fs_scaling *);
    void (*elementwise)(const struct fs_elementwise *);
    void (*pool_row)(const struct fs_pool *);
    void (*lines_load)(const struct fs_transfer *);
    void (*lines_store)(const struct fs_transfer *);
    void (*lines_settle)(const struct fs_transfer *);
    void (*lines_filter)(const struct fs_lines *);
    void (*lines_run)(const struct fs_lines *, int begin);
    void (*lines_turn)(const struct fs_turn *);
    void (*lines_turn_back)(const struct fs_turn *);
    void (*lines_join)(const struct fs_join *);
    int (*lines_missing)(const char *, int64_t); /* whether any of so many numbers is NaN */
    void (*footprint_row)(const struct fs_footprint *);
    /* roofline.inc: floating-point operations done; cycles that a chain took beside them; bytes moved. */
    double (*fma_burst)(int64_t repetitions);
    double (*clock_burst)(int64_t repetitions, int ports);
    double (*read_burst)(const void *memory, int64_t bytes, int64_t repetitions);
    double (*copy_burst)(void *to, const void *from, int64_t bytes, int64_t repetitions);
};

/* lines.inc and lines16.inc: filters whose pass along the rows reads them where they are. */
struct fs_line_kernels {
    int64_t bytes, lanes;
    int stores_words;            /* whether the tiles know `words_in` and `words_out` */
    void (*lines_load)(const struct fs_transfer *);
    void (*lines_store)(const struct fs_transfer *);
    void (*lines_down)(const struct fs_lines *);
    void (*lines_along)(const struct fs_lines *);
    void (*lines_bits)(const struct fs_bits *); /* float32 alone, else NULL */
};

struct fs_kernels {
    const char *name;
    int64_t vector_bytes, vector_registers;
    int has_fma;
    struct fs_real_kernels types[2]; /* float, double */
    struct fs_line_kernels lines[3]; /* 16-bit integer, float, double */
};

/* dispatch.c */
int fs_isa_count(void);                            /* compiled into this build, slowest first */
const struct fs_kernels *fs_isa(int index);
int fs_isa_supported(int index);                   /* by this CPU and by the state the operating system saves */
const char *fs_cpu_features(void);                 /* space-separated, those that a kernel could use */

#endif
