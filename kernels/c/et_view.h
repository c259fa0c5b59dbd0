/* The part of a window that lies inside the image. Private to the kernels. */
#ifndef ET_VIEW_H
#define ET_VIEW_H

#include "et_layers.h"

/* Taps [first_row, end_row) x [first_column, end_column) are inside, perhaps none; (row, column) is
 * the pixel under tap (0, 0) and may lie outside. */
typedef struct {
    int32_t row, column, first_row, end_row, first_column, end_column;
} et_view;

static inline et_view et_look(const et_window *v, int32_t p, int32_t q) {
    const int32_t row = p * v->stride_down - v->top, column = q * v->stride_right - v->left;
    const et_view view = {row,
                          column,
                          et_clip(-row, 0, v->kernel_height),
                          et_clip(v->height - row, 0, v->kernel_height),
                          et_clip(-column, 0, v->kernel_width),
                          et_clip(v->width - column, 0, v->kernel_width)};
    return view;
}

/* Number of the pixel under a tap that is inside. */
static inline int32_t et_pixel(const et_window *v, const et_view *at, int32_t i, int32_t j) {
    return (at->row + i) * v->width + at->column + j;
}

/* Whether every tap is inside. */
static inline int et_whole(const et_window *v, const et_view *at) {
    return at->first_row == 0 && at->end_row == v->kernel_height && at->first_column == 0 &&
           at->end_column == v->kernel_width;
}

/* Number of taps inside; some must be. */
static inline int32_t et_count(const et_view *at) {
    return (at->end_row - at->first_row) * (at->end_column - at->first_column);
}

#endif
