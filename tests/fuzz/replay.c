/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target over the files of directories, for compilers without libFuzzer: the committed
 * corpus is a regression test of every build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void file_run(const char *directory, const char *name)
{
    char path[4096];
    FILE *file = NULL;
    uint8_t *data = malloc(INPUT_MAX);
    int len = snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (len > 0 && (size_t)len < sizeof(path))
        file = fopen(path, "re");
    if (data == NULL || file == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t size = fread(data, 1, INPUT_MAX, file);
    (void)fclose(file);
    (void)fprintf(stderr, "%s\n", name);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        if (directory == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
            if (entry->d_name[0] == '.')
                continue;
            file_run(argv[i], entry->d_name);
            count++;
        }
        (void)closedir(directory);
    }
    printf("%u inputs\n", count);
    return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
