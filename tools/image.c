// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt image: tapes in files, where no module is loaded; its verbs and options
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "image.h"

enum {
	JSON = 1 << 0, EACH = 1 << 1, PARTITION = 1 << 2, OUTPUT = 1 << 3, SALVAGE = 1 << 4,
	FORMAT = 1 << 5, CAPACITY = 1 << 6, WORM = 1 << 7, RECORD = 1 << 8,
	CREATE = 1 << 9, LABEL = 1 << 10, BARCODE = 1 << 11, HELP = 1 << 12,
};
#define MAKES	(FORMAT | CAPACITY | WORM)

static const struct image_verb {
	const char *name, *words;
	size_t least, most;
	unsigned int options;
	int (*run)(struct image *);
} verbs[] = {
	{ "ls", "FILE", 1, 1, JSON | EACH | PARTITION | FORMAT | SALVAGE, image_ls },
	{ "verify", "FILE", 1, 1, JSON | FORMAT, image_verify },
	{ "extract", "FILE N", 2, 2, OUTPUT | PARTITION | FORMAT | SALVAGE, image_extract },
	{ "append", "FILE [INPUT]", 1, 2, JSON | RECORD | CREATE | MAKES, image_append },
	{ "convert", "FILE NEW", 2, 2, JSON | PARTITION | SALVAGE | MAKES, image_convert },
	{ "repair", "FILE", 1, 1, JSON | OUTPUT | PARTITION | FORMAT, image_repair },
	{ "label", "FILE", 1, 1, JSON | LABEL | BARCODE, image_label },
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct option options[] = {
	{ "json", no_argument, NULL, JSON },
	{ "each", no_argument, NULL, EACH },
	{ "partition", required_argument, NULL, PARTITION },
	{ "output", required_argument, NULL, OUTPUT },
	{ "salvage", no_argument, NULL, SALVAGE },
	{ "format", required_argument, NULL, FORMAT },
	{ "capacity", required_argument, NULL, CAPACITY },
	{ "worm", no_argument, NULL, WORM },
	{ "record", required_argument, NULL, RECORD },
	{ "create", no_argument, NULL, CREATE },
	{ "label", required_argument, NULL, LABEL },
	{ "barcode", required_argument, NULL, BARCODE },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

static void print_help(FILE *to)
{
	fputs("Usage: pmt image ls      [--each] FILE        what is on it\n"
	      "       pmt image verify  FILE                 read all of it\n"
	      "       pmt image extract [-o OUT] FILE N      the bytes of file N, from 0\n"
	      "       pmt image append  FILE [INPUT]         a file behind the last one\n"
	      "       pmt image convert FILE NEW             to another format\n"
	      "       pmt image repair  [-o NEW] FILE        cut what is torn, or rescue\n"
	      "       pmt image label   FILE                 show or change the label\n\n"
	      "      --json             for programs: JSON\n"
	      "      --each             each record and mark\n"
	      "      --partition N      of a tape that has several (0)\n"
	      "  -o, --output FILE      that does not exist yet\n"
	      "      --salvage          step over what is damaged\n"
	      "  -f, --format FORMAT    native, simh, e11, aws or het\n"
	      "      --capacity SIZE    of what is written\n"
	      "      --worm             the new one can be written only once\n"
	      "  -r, --record SIZE      of the records (10K)\n"
	      "      --create           make FILE\n"
	      "      --label TEXT, --barcode TEXT\n"
	      "  -h, --help             this text\n"
	      "Exit: 0, 1 failure or damage, 2 usage.\n", to);
}

static int usage(void)
{
	fputs("Try 'pmt image --help'.\n", stderr);
	return TOOL_USAGE;
}

/* Bytes, with K, M, G or T. */
static int take_size(const char *name, const char *text, uint64_t most, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	for (int i = 0; unit && i <= unit - units && !errno; i++) {
		if (*size > UINT64_MAX / 1024)
			errno = ERANGE;
		*size *= 1024;
	}
	if (*text >= '0' && *text <= '9' && !errno && *size <= most &&
	    (!*end || (unit && !end[1])))
		return 0;
	fprintf(stderr, "pmt image: --%s is a number up to %llu, K, M, G or T behind it, not "
		"'%s'\n", name, (unsigned long long)most, text);
	return -EINVAL;
}

static int take_partition(struct image *image, const char *text)
{
	uint64_t number;
	int r = take_size("partition", text, 3, &number);

	image->partition = (uint32_t)number;
	image->says_partition = true;
	return r;
}

static int take_record(struct image *image, const char *text)
{
	int r = take_size("record", text, IMAGE_RECORD_MAX, &image->record);

	if (r || image->record)
		return r;
	fputs("pmt image: a record has at least one byte\n", stderr);
	return -EINVAL;
}

static int take_option(struct image *image, int val, const char *value)
{
	switch (val) {
	case JSON: image->json = true; break;
	case EACH: image->each = true; break;
	case SALVAGE: image->salvage = true; break;
	case WORM: image->worm = true; break;
	case CREATE: image->create = true; break;
	case OUTPUT: image->output = value; break;
	case FORMAT: image->format = value; break;
	case LABEL: image->label = value; break;
	case BARCODE: image->barcode = value; break;
	case PARTITION: return take_partition(image, value);
	case RECORD: return take_record(image, value);
	case CAPACITY: return take_size("capacity", value, INT64_MAX / 2, &image->capacity);
	}
	return 0;
}

static int short_option(int val)
{
	return val == 'o' ? OUTPUT : val == 'f' ? FORMAT : val == 'r' ? RECORD :
	       val == 'h' ? HELP : val;
}

/* -1: go on; else the exit code. */
static int take_options(struct image *image, const struct image_verb *v, int argc, char **argv)
{
	int val;

	while ((val = getopt_long(argc, argv, "o:f:r:h", options, NULL)) >= 0) {
		val = short_option(val);
		if (val == '?')
			return usage();
		if (val == HELP) {
			print_help(stdout);
			return TOOL_OK;
		}
		if (!(v->options & (unsigned int)val)) {
			fprintf(stderr, "pmt image %s: does not take that option\n", v->name);
			return usage();
		}
		if (take_option(image, val, optarg))
			return usage();
	}
	image->words = argv + optind;
	image->n_words = (size_t)(argc - optind);
	if (image->n_words >= v->least && image->n_words <= v->most)
		return -1;
	fprintf(stderr, "pmt image %s: wants %s\n", v->name, v->words);
	return usage();
}

static int run_verb(const struct image_verb *v, int argc, char **argv)
{
	struct image image = { .verb = v->name, .record = 10240 };
	char name[32];
	int code;

	snprintf(name, sizeof(name), "pmt image %s", v->name);
	argv[0] = name;
	code = take_options(&image, v, argc, argv);
	return code < 0 ? v->run(&image) : code;
}

int verb_image(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return TOOL_USAGE;
	}
	for (const struct image_verb *v = verbs; v < verbs + N_VERBS; v++)
		if (!strcmp(argv[1], v->name))
			return run_verb(v, argc - 1, argv + 1);
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		print_help(stdout);
		return TOOL_OK;
	}
	fprintf(stderr, "pmt image: there is no command %s\n", argv[1]);
	return usage();
}

/* What the verbs share */

int image_fail(const char *path, int err)
{
	/* Of the others the library has said it. */
	if (err != -EINVAL && err != -EEXIST && err != -EBUSY && err != -ENOTSUP)
		fprintf(stderr, "pmt image: %s: %s\n", path, strerror(-err));
	return TOOL_FAILED;
}

struct pmt_imagefile *image_open(const char *path, const struct pmt_imagefile_options *o)
{
	struct pmt_imagefile *f;
	int r = pmt_imagefile_open(&f, path, o);

	if (!r)
		return f;
	if (r != -ENOENT)	/* said */
		image_fail(path, r);
	return NULL;
}

void *image_buffer(void)
{
	void *buffer = malloc(IMAGE_RECORD_MAX);

	if (!buffer)
		fputs("pmt image: no memory\n", stderr);
	return buffer;
}

struct json_object *image_json(const struct pmt_imagefile_info *info)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "file", json_object_new_string(info->path));
	json_object_object_add(object, "format", json_object_new_string(info->format));
	json_object_object_add(object, "worm", json_object_new_boolean(info->worm));
	json_object_object_add(object, "uuid", *info->uuid ?
			       json_object_new_string(info->uuid) : NULL);
	json_object_object_add(object, "label", json_object_new_string(info->label));
	json_object_object_add(object, "barcode", json_object_new_string(info->barcode));
	add_number_json(object, "partitions", info->partitions);
	add_number_json(object, "records", info->objects - info->marks);
	add_number_json(object, "marks", info->marks);
	add_number_json(object, "size", info->size);
	add_number_json(object, "capacity", info->capacity ? info->capacity : PMT_UNKNOWN);
	add_number_json(object, "torn", info->torn);
	add_number_json(object, "damage", info->damage);
	add_number_json(object, "odd", info->odd);
	return object;
}
