/* Classify handwritten digits with a model of mnistzoo, without any library.
 *
 *   cc -std=c99 -O2 -o digits digits.c -lm
 *   gunzip -c t10k-images-idx3-ubyte.gz | ./digits exp5.safetensors cccpccpCC
 *
 * Layers: c is a 3x3 convolution (with batch norm, if the file has it) and a ReLU, C the same with
 * zero padding, p a 2x2 max pool. A linear layer and a log-softmax follow. For each image the
 * program prints a line: the digit, and the log-probability of each class.
 *
 * The numbers in the file are little-endian. The machine must be little-endian too. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, MAX_LAYERS = 32, MAX_CLASSES = 1024, MAX_FILE = 1 << 24 };

static const float MEAN = 0.1307f, STD = 0.3081f; /* of the training pixels, from 0 to 1 */

static void fail(const char *what, const char *which) {
    fprintf(stderr, "digits: %s: %s\n", which, what);
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *made = calloc(count ? count : 1, size);
    if (!made) fail("out of memory", "this model");
    return made;
}

/* A safetensors file: 8 bytes of length, a JSON header of that length, then the numbers. */
typedef struct {
    char *header; /* ends in a zero byte */
    unsigned char *data;
    size_t size; /* of data, in bytes */
} File;

static File open_file(const char *path) {
    FILE *stream = fopen(path, "rb");
    if (!stream) fail("cannot be opened", path);
    unsigned char *bytes = allocate(MAX_FILE, 1);
    size_t total = fread(bytes, 1, MAX_FILE, stream);
    fclose(stream);
    uint64_t length = 0;
    for (int i = 7; i >= 0 && total >= 8; i--) length = length << 8 | bytes[i];
    if (total < 8 || total == MAX_FILE || length > total - 8) fail("is not a safetensors file", path);
    File file = {allocate(length + 1, 1), bytes + 8 + length, total - 8 - length};
    memcpy(file.header, bytes + 8, length);
    return file;
}

/* Return a tensor: `"NAME":{"dtype":"F32","shape":[...],"data_offsets":[from,to]}` in the header.
 * It must have count numbers, or any if count is 0; count is set. Return NULL if it is missing. */
static float *tensor(const File *file, const char *name, size_t *count) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":{\"dtype\":\"F32\",", name);
    const char *entry = strstr(file->header, key);
    if (!entry) return NULL;
    unsigned long from, to;
    const char *offsets = strstr(entry, "\"data_offsets\":[");
    if (!offsets || sscanf(offsets, "\"data_offsets\":[%lu,%lu]", &from, &to) != 2 || to < from ||
        to > file->size || (to - from) % sizeof(float) || (*count && to - from != *count * sizeof(float)))
        fail("has the wrong size, or lies outside the file", name);
    *count = (to - from) / sizeof(float);
    float *numbers = allocate(*count, sizeof(float));
    memcpy(numbers, file->data + from, to - from);
    return numbers;
}

static float *needed(const File *file, const char *name, size_t count) {
    float *numbers = tensor(file, name, &count);
    if (!numbers) fail("is missing, or not of type F32", name);
    return numbers;
}

typedef struct {
    char kind;        /* c, C or p */
    size_t in, out;   /* channels */
    float *weight;    /* out x in x 3 x 3 */
    float *bias;      /* out */
} Layer;

typedef struct {
    Layer layers[MAX_LAYERS];
    size_t count, features, classes, largest; /* largest: numbers in the largest feature map */
    float *weight, *bias;                     /* of the linear layer, classes x features */
} Model;

static float *part(const File *file, const char *kind, int number, const char *what, size_t count) {
    char name[64];
    snprintf(name, sizeof name, "features.%s%d.%s", kind, number, what);
    return needed(file, name, count);
}

/* Fold batch norm, which is a scale and a shift, into the convolution. */
static void fold_batch_norm(const File *file, int number, Layer *layer) {
    char name[64];
    size_t any = 0;
    snprintf(name, sizeof name, "features.bn%d.weight", number);
    float *gamma = tensor(file, name, &any);
    if (!gamma) return;
    if (any != layer->out) fail("has the wrong size", name);
    float *beta = part(file, "bn", number, "bias", layer->out);
    float *mean = part(file, "bn", number, "running_mean", layer->out);
    float *variance = part(file, "bn", number, "running_var", layer->out);
    for (size_t o = 0; o < layer->out; o++) {
        float scale = gamma[o] / sqrtf(variance[o] + 1e-5f);
        for (size_t i = 0; i < layer->in * 9; i++) layer->weight[o * layer->in * 9 + i] *= scale;
        layer->bias[o] = (layer->bias[o] - mean[o]) * scale + beta[o];
    }
    free(gamma), free(beta), free(mean), free(variance);
}

static Layer load_convolution(const File *file, int number, char kind, size_t in) {
    char name[64];
    Layer layer = {kind, in, 0, NULL, NULL};
    snprintf(name, sizeof name, "features.conv%d.bias", number);
    layer.bias = tensor(file, name, &layer.out);
    if (!layer.bias || !layer.out) fail("is missing; does the model have so many layers?", name);
    layer.weight = part(file, "conv", number, "weight", layer.out * in * 9);
    fold_batch_norm(file, number, &layer);
    return layer;
}

static Model load(const File *file, const char *kinds) {
    Model net = {.count = strlen(kinds), .largest = SIDE * SIDE};
    size_t channels = 1, side = SIDE;
    int convolutions = 0;
    if (net.count > MAX_LAYERS) fail("has too many layers", kinds);
    for (size_t i = 0; i < net.count; i++) {
        if (!strchr("cCp", kinds[i])) fail("expected only c, C and p", kinds);
        net.layers[i] = (Layer){'p', channels, channels, NULL, NULL};
        if (kinds[i] != 'p')
            net.layers[i] = load_convolution(file, ++convolutions, kinds[i], channels);
        if (kinds[i] != 'C' && side < 3) fail("reduces the image to nothing", kinds);
        side = kinds[i] == 'p' ? side / 2 : kinds[i] == 'c' ? side - 2 : side;
        channels = net.layers[i].out;
        if (channels * side * side > net.largest) net.largest = channels * side * side;
    }
    net.features = channels * side * side;
    net.bias = tensor(file, "classifier.bias", &net.classes);
    if (!net.bias || !net.classes || net.classes > MAX_CLASSES) fail("is not as expected", "classifier.bias");
    net.weight = needed(file, "classifier.weight", net.classes * net.features);
    return net;
}

/* Compute one output channel of a convolution and its ReLU; pad is 0 or 1. */
static void convolve(const Layer *layer, size_t o, int pad, const float *in, int side, float *out) {
    int wide = side + 2 * pad - 2;
    for (int y = 0; y < wide; y++)
        for (int x = 0; x < wide; x++) {
            float sum = layer->bias[o];
            for (size_t c = 0; c < layer->in; c++)
                for (int k = 0; k < 9; k++) {
                    int row = y + k / 3 - pad, column = x + k % 3 - pad;
                    if (row >= 0 && row < side && column >= 0 && column < side)
                        sum += layer->weight[(o * layer->in + c) * 9 + k] *
                               in[(c * side + row) * side + column];
                }
            out[y * wide + x] = sum > 0 ? sum : 0;
        }
}

static void pool(const float *in, int side, float *out) {
    int wide = side / 2;
    for (int y = 0; y < wide; y++)
        for (int x = 0; x < wide; x++) {
            const float *at = in + 2 * y * side + 2 * x;
            out[y * wide + x] = fmaxf(fmaxf(at[0], at[1]), fmaxf(at[side], at[side + 1]));
        }
}

/* Compute the log-probabilities of the image in a. Both a and b hold the largest feature map. */
static void run(const Model *net, float *a, float *b, float *outputs) {
    int side = SIDE;
    for (size_t i = 0; i < net->count; i++) {
        const Layer *layer = &net->layers[i];
        int pad = layer->kind == 'C', wide = layer->kind == 'p' ? side / 2 : side + 2 * pad - 2;
        for (size_t o = 0; o < layer->out; o++)
            if (layer->kind == 'p') pool(a + o * side * side, side, b + o * wide * wide);
            else convolve(layer, o, pad, a, side, b + o * wide * wide);
        float *swap = a;
        a = b, b = swap, side = wide;
    }
    float top = -INFINITY, sum = 0;
    for (size_t k = 0; k < net->classes; k++) {
        outputs[k] = net->bias[k];
        for (size_t f = 0; f < net->features; f++) outputs[k] += net->weight[k * net->features + f] * a[f];
        top = fmaxf(top, outputs[k]);
    }
    for (size_t k = 0; k < net->classes; k++) sum += expf(outputs[k] - top);
    for (size_t k = 0; k < net->classes; k++) outputs[k] -= top + logf(sum);
}

int main(int argc, char **argv) {
    if (argc != 3) fail("expected WEIGHTS.safetensors LAYERS, and images on the input", argv[0]);
    File file = open_file(argv[1]);
    Model net = load(&file, argv[2]);
    unsigned char header[16], pixels[SIDE * SIDE];
    const unsigned char shape[8] = {0, 0, 0, SIDE, 0, 0, 0, SIDE}; /* after the magic and a count */
    if (fread(header, 1, 16, stdin) != 16 || memcmp(header, "\0\0\10\3", 4) || memcmp(header + 8, shape, 8))
        fail("is not an uncompressed file of 28x28 images", "the input");
    float *a = allocate(net.largest, sizeof(float)), *b = allocate(net.largest, sizeof(float));
    float outputs[MAX_CLASSES];
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        for (int i = 0; i < SIDE * SIDE; i++) a[i] = (pixels[i] / 255.0f - MEAN) / STD;
        run(&net, a, b, outputs);
        size_t best = 0;
        for (size_t k = 1; k < net.classes; k++) best = outputs[k] > outputs[best] ? k : best;
        printf("%zu", best);
        for (size_t k = 0; k < net.classes; k++) printf(" %.6f", outputs[k]);
        putchar('\n');
    }
    return 0;
}
