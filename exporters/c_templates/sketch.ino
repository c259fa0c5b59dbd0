// Starts @{name}, trains it, saves what it learned, loads it again and infers.
#include <@{name}.h>

#include "ram_flash.h"

static int8_t x[@{NAME}_BATCH * @{NAME}_INPUTS], y[@{NAME}_OUTPUTS];
static int32_t targets[@{targets}];

static void show(const char *text, int32_t number) {
  Serial.print(text);
  Serial.println(static_cast<long>(number));
}

void setup() {
  Serial.begin(115200);
  for (int32_t i = 0; i < static_cast<int32_t>(sizeof x); i++)
    x[i] = static_cast<int8_t>(i * 37 % 251 - 125);  // a sensor's codes, here made up
  for (int32_t i = 0; i < @{targets}; i++) targets[i] = i % @{NAME}_OUTPUTS;
  @{name}_init();
  show("loaded ", @{name}_load(&ram_flash));
}

void loop() {
  static int step = 0;
  int32_t loss = 0;
  if (++step <= 20 && @{name}_train(x, targets, &loss) == ET_OK) show("loss ", loss);
  if (step != 20) return;
  show("saved ", @{name}_save(&ram_flash));
  if (@{name}_infer(x, y) == ET_OK)
    for (int i = 0; i < @{NAME}_OUTPUTS; i++) show("output ", y[i]);
}
