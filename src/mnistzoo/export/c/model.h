/* @TITLE@
 *
 * @WEIGHTS@ of weights, @RAM@ bytes of RAM on the stack, integers only, no library.
 *
 *     int8_t scores[@CLASSES@];
 *     int label = @NAME@_predict(image, scores);
 *
 * `image` holds 28 rows of 28 pixels in MNIST format: light strokes (255) on a dark background (0).
 * `label` is the index of the predicted class@LABELS@. The largest of the scores is the prediction's;
 * one unit is @STEP@ in logits.
 *
 * Rows stream through the layers: each layer keeps the last three rows of its input, and computes a
 * row of its output as soon as it has them. Written by mnistzoo @VERSION@, MIT license. */

#ifndef @GUARD@
#define @GUARD@

#include <stdint.h>

/* A 3x3 convolution with stride 1, its ReLU, and the 2x2 max pool behind it, if there is one. */
typedef struct {
    const @WEIGHT@ *weight; /* [out][3][3][in] */
    const int32_t *bias;  /* [out] */
    const uint8_t *shift; /* [out]: a sum is shifted to the right by this, and rounded */
    uint32_t rows;        /* where the three rows of its input start in the buffer */
    uint16_t in, out;     /* channels */
    uint8_t side, padding, pool; /* side: of its input, padding not counted */
} @NAME@_layer;

enum { @NAME@_LAYERS = @LAYERS@, @NAME@_CLASSES = @CLASSES@, @NAME@_BUFFER = @BUFFER@ };

@ARRAYS@
static const @NAME@_layer @NAME@_layers[@NAME@_LAYERS] = {
@TABLE@};

typedef struct {
    int32_t sums[@NAME@_CLASSES];
    uint8_t seen[@NAME@_LAYERS + 1]; /* rows of each layer's input so far, and of the classifier's */
    uint8_t buffer[@NAME@_BUFFER];
} @NAME@_state;

@DOT@

/* Where a layer expects the next row of its input. */
static uint8_t *@NAME@_slot(@NAME@_state *state, int number) {
    const @NAME@_layer *layer = &@NAME@_layers[number];
    if (number == @NAME@_LAYERS) return state->buffer + @CLASSIFIER_ROW@;
    int width = (layer->side + 2 * layer->padding) * layer->in;
    return state->buffer + layer->rows + state->seen[number] % 3 * width + layer->padding * layer->in;
}

/* One row of a layer's output, from the last three rows of its input, into the next layer's slot. */
static void @NAME@_row(@NAME@_state *state, int number, uint8_t *to) {
    const @NAME@_layer *layer = &@NAME@_layers[number];
    int width = (layer->side + 2 * layer->padding) * layer->in, kernel = 3 * layer->in;
    int made = layer->side + 2 * layer->padding - 2, top = state->seen[number] - 3;
    int kept = layer->pool ? made / 2 * 2 : made;
    for (int x = 0; x < kept; x++) {
        for (int o = 0; o < layer->out; o++) {
            int32_t sum = layer->bias[o];
            for (int y = 0; y < 3; y++)
                sum += @NAME@_dot(layer->weight, 3 * (3 * o + y) * layer->in,
                                  state->buffer + layer->rows + (top + y) % 3 * width + x * layer->in, kernel);
            if (layer->shift[o]) sum += (int32_t)1 << (layer->shift[o] - 1);
            if (sum < 0) sum = 0;
            sum >>= layer->shift[o];
            uint8_t value = sum > 255 ? 255 : (uint8_t)sum;
            uint8_t *place = to + (layer->pool ? x / 2 : x) * layer->out + o;
            if (!layer->pool || (top % 2 == 0 && x % 2 == 0) || *place < value) *place = value;
        }
    }
}

/* A row of a layer's input has been put into its slot: compute what that allows. */
static void @NAME@_push(@NAME@_state *state, int number) {
    if (number == @NAME@_LAYERS) {
        const uint8_t *row = @NAME@_slot(state, number);
        for (int k = 0; k < @NAME@_CLASSES; k++)
            state->sums[k] += @NAME@_dot(@NAME@_classifier, (k * @SIDE@ + state->seen[number]) * @WIDTH@, row, @WIDTH@);
        state->seen[number]++;
        return;
    }
    const @NAME@_layer *layer = &@NAME@_layers[number];
    state->seen[number]++;
    if (state->seen[number] >= 3) {
        int made = state->seen[number] - 3;
        @NAME@_row(state, number, @NAME@_slot(state, number + 1));
        if (!layer->pool || made % 2) @NAME@_push(state, number + 1);
    }
    if (state->seen[number] >= layer->side + layer->padding && state->seen[number] < layer->side + 2 * layer->padding) {
        uint8_t *row = @NAME@_slot(state, number);
        for (int i = 0; i < layer->side * layer->in; i++) row[i] = 0;
        @NAME@_push(state, number);
    }
}

/* Predict the class of an image; see the top of this file. */
static int @NAME@_predict(const uint8_t image[784], int8_t scores[@NAME@_CLASSES]) {
    @NAME@_state state;
    for (int i = 0; i < @NAME@_BUFFER; i++) state.buffer[i] = 0;
    for (int k = 0; k < @NAME@_CLASSES; k++) state.sums[k] = @NAME@_bias[k];
    for (int l = 0; l < @NAME@_LAYERS; l++) state.seen[l] = @NAME@_layers[l].padding;
    state.seen[@NAME@_LAYERS] = 0;
    for (int y = 0; y < 28; y++) {
        uint8_t *row = @NAME@_slot(&state, 0);
        for (int x = 0; x < 28; x++) row[x] = image[28 * y + x];
        @NAME@_push(&state, 0);
    }
    int label = 0;
    for (int k = 0; k < @NAME@_CLASSES; k++) {
        int32_t score = state.sums[k] < 0 ? ~(~state.sums[k] >> @SHIFT@) : state.sums[k] >> @SHIFT@;
        scores[k] = score < -128 ? -128 : score > 127 ? 127 : (int8_t)score;
        if (state.sums[k] > state.sums[label]) label = k;
    }
    return label;
}

#endif
