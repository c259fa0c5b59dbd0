/* Starts @{name}, trains it, saves what it learned, loads it again and infers. */
#include <stdio.h>

#include "@{name}.h"
#include "ram_flash.h"

static int8_t x[@{NAME}_BATCH * @{NAME}_INPUTS], y[@{NAME}_OUTPUTS];
static int32_t targets[@{targets}];

@{entry} {
    int32_t loss = 0;
    for (int32_t i = 0; i < (int32_t)sizeof x; i++)
        x[i] = (int8_t)(i * 37 % 251 - 125); /* a sensor's codes, here made up */
    for (int32_t i = 0; i < @{targets}; i++)
        targets[i] = i % @{NAME}_OUTPUTS;

    @{name}_init();
    if (@{name}_load(&ram_flash) == ET_NO_RECORD)
        printf("nothing was saved before\n");
    for (int step = 1; step <= 20; step++) {
        if (@{name}_train(x, targets, &loss) == ET_OK && step % 19 == 1)
            printf("step %d: loss %ld\n", step, (long)loss);
    }
    const et_store_status saved = @{name}_save(&ram_flash);
    @{name}_init();
    const et_store_status loaded = @{name}_load(&ram_flash);
    printf("saved %ld, loaded %ld\noutputs", (long)saved, (long)loaded);
    if (@{name}_infer(x, y) == ET_OK)
        for (int i = 0; i < @{NAME}_OUTPUTS; i++)
            printf(" %d", y[i]);
    printf("\n");@{leave}
}
