// SPDX-License-Identifier: GPL-2.0-or-later
/* replay FILE...: each as an input of the fuzzer that it is linked with. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *name)
{
	static uint8_t data[1 << 20];
	FILE *file = fopen(name, "r");
	size_t size;

	if (!file) {
		perror(name);
		return 1;
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
	int failed = LLVMFuzzerInitialize(&argc, &argv);

	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
