/* Runs a target over a corpus: a file of lines in hexadecimal, each an input in memory of its own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int digit(int from) { return from <= '9' ? from - '0' : from - 'a' + 10; }

int main(int argc, char **argv)
{
    FILE *corpus = argc == 2 ? fopen(argv[1], "r") : NULL;
    char *line = NULL;
    size_t space = 0;
    ssize_t length;
    int inputs = 0;

    if (!corpus)
        return 2;
    while ((length = getline(&line, &space, corpus)) > 0) {
        size_t size = (size_t)(length - 1) / 2;
        uint8_t *data = malloc(size ? size : 1);
        for (size_t i = 0; data && i < size; i++)
            data[i] = (uint8_t)(digit(line[2 * i]) << 4 | digit(line[2 * i + 1]));
        if (data)
            LLVMFuzzerTestOneInput(data, size);
        free(data);
        inputs++;
    }
    free(line);
    fclose(corpus);
    printf("%d\n", inputs);
    return 0;
}
