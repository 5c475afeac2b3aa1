// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The picture of a tape, as SVG
 *
 * The tape runs from left to right, in as many rows as its files need.  A file is as
 * long as its bytes are many, but never so short that it is not seen; what stands in
 * it is how large its records are.  Filemarks and damage stand out of the tape.
 * Behind it is a table of the files.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "map.h"

#define WIDTH		1200
#define MARGIN		40
#define STRIP		(WIDTH - 2 * MARGIN)	/* of a row */
#define ROW		104
#define BAND		56			/* of the tape in it */
#define FIRST		128			/* row */
#define FILES_A_ROW	28
#define ROWS_MAX	16
#define SHORTEST	5.0
#define LISTED		32
#define LINE		22

struct canvas {
	FILE *to;
	const struct map *map;
	size_t n;		/* segments: files, runs of empty ones as one */
	int rows;
	double length;		/* of all rows, less what is left free for the end */
	uint64_t bytes, most;	/* in the segments; in one of them */
	double shortest;
	uint32_t largest;	/* record */
};

static void put_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '<' || c == '>' || c == '&' || c == '"')
			fprintf(to, "&#%d;", c);
		else
			fputc(c < ' ' ? '?' : c, to);
	}
}

/* Runs of files without records are one segment. */
static size_t segment(const struct map *map, size_t i)
{
	size_t empty = map_empty_files(map, i);

	return empty > 1 ? empty : 1;
}

static void measure(struct canvas *c)
{
	for (size_t i = 0; i < c->map->n_files; i += segment(c->map, i)) {
		const struct map_file *file = &c->map->files[i];

		c->n++;
		c->bytes += file->bytes;
		if (file->bytes > c->most)
			c->most = file->bytes;
		if (file->largest > c->largest)
			c->largest = file->largest;
	}
	c->rows = (int)(c->n / FILES_A_ROW) + 1;
	if (c->rows > ROWS_MAX)
		c->rows = ROWS_MAX;
	c->length = c->rows * (double)STRIP - 110;
	c->shortest = SHORTEST;
	if (c->n * c->shortest > c->length / 2)
		c->shortest = c->length / 2 / (double)c->n;
}

/* All have the shortest length, and the rest is divided by bytes. */
static double length_of(const struct canvas *c, const struct map_file *file)
{
	double rest = c->length - (double)c->n * c->shortest;

	if (!c->bytes)
		return c->shortest;
	return c->shortest + rest * (double)file->bytes / (double)c->bytes;
}

static double row_of(double at, double *x)
{
	int row = (int)(at / STRIP);

	*x = MARGIN + at - row * (double)STRIP;
	return FIRST + row * (double)ROW;
}

/* A piece of the tape from at on, of which the lowest height is drawn, in one row or
 * in several. */
static void piece(const struct canvas *c, double at, double length, double height,
		  const char *style)
{
	while (length > 0.01) {
		double x, y = row_of(at, &x) + BAND - height, part = WIDTH - MARGIN - x;

		if (part > length)
			part = length;
		if (part < 0.01)
			part = 0.01;
		fprintf(c->to, "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' "
			"class='%s'/>\n", x, y, part, height, style);
		at += part;
		length -= part;
	}
}

/* How large the records are: a column for each step. */
static void profile(const struct canvas *c, const struct map_file *file, double at,
		    double length)
{
	for (uint32_t i = 0; i < file->n_steps; i++) {
		const struct map_step *step = &file->steps[i];
		double part = length * (double)step->bytes / (double)file->bytes;
		double mean = (double)step->bytes / step->records;

		piece(c, at, part, 3 + (BAND - 24) * mean / c->largest, "size");
		at += part;
	}
}

static void mark_at(const struct canvas *c, double at)
{
	double x, y = row_of(at, &x);

	fprintf(c->to, "<path d='M%.2f %.0fv%d' class='mark'/>"
		"<circle cx='%.2f' cy='%.0f' r='2.6' class='cap'/>\n", x, y - 5, BAND + 10, x,
		y - 6);
}

static void damage_at(const struct canvas *c, double at)
{
	double x, y = row_of(at, &x);

	fprintf(c->to, "<path d='M%.2f %.0fv%d' class='hurt'/>"
		"<path d='M%.2f %.0fl5.5 10h-11z' class='flag'/>\n", x, y, BAND, x,
		y + BAND + 3);
}

/* Inside of the file by their blocks, as far as these are known. */
static void damage_in(const struct canvas *c, const struct map_file *file, double at,
		      double length)
{
	uint64_t objects = file->records + file->damaged, seen = 0;

	for (size_t i = 0; i < c->map->n_damage; i++) {
		const struct pmt_object *object = &c->map->damage[i];
		uint64_t block;

		if (object->volume != file->volume || object->place.file != file->number)
			continue;
		block = object->place.block == PMT_UNKNOWN ? seen : object->place.block;
		if (block >= objects)
			block = objects - 1;
		seen++;
		damage_at(c, at + length * ((double)block + 0.5) / (double)objects);
	}
}

static void label(const struct canvas *c, const struct map_file *file, double at,
		  double length)
{
	double x, y = row_of(at, &x);
	double room = WIDTH - MARGIN - x < length ? WIDTH - MARGIN - x : length;

	if (room < 20)
		return;
	fprintf(c->to, "<text x='%.2f' y='%.0f' class='number'>", x + 5, y + 14);
	if (file->number != PMT_UNKNOWN)
		fprintf(c->to, "%" PRIu64, file->number);
	if (room > 110 && file->records)
		fprintf(c->to, "<tspan dx='6' class='in'>%s</tspan>",
			size_text(file->bytes).text);
	fputs("</text>\n", c->to);
}

static void draw_segment(const struct canvas *c, size_t i, double at, double length)
{
	const struct map_file *file = &c->map->files[i];
	const char *style = !file->records ? "empty" : i % 2 ? "odd" : "even";

	fprintf(c->to, "<g><title>file %" PRIu64 ", %" PRIu64 " records, %" PRIu64
		" bytes</title>\n", file->number, file->records, file->bytes);
	piece(c, at, length, BAND, style);
	if (file->bytes)
		profile(c, file, at, length);
	label(c, file, at, length);
	if (file->damaged)
		damage_in(c, file, at, length);
	fputs("</g>\n", c->to);
}

static double draw_tape(const struct canvas *c)
{
	const struct map *map = c->map;
	double at = 0;

	for (size_t i = 0; i < map->n_files; i += segment(map, i)) {
		double length = length_of(c, &map->files[i]);

		draw_segment(c, i, at, length);
		at += length;
	}
	/* Above all segments. */
	at = 0;
	for (size_t i = 0; i < map->n_files; i += segment(map, i)) {
		at += length_of(c, &map->files[i]);
		if (map->files[i].mark)
			mark_at(c, at - 1);
	}
	return at;
}

/* Blank tape, to the end of the last row. */
static void draw_rest(const struct canvas *c, double at)
{
	double x, y = row_of(at, &x);

	piece(c, at, c->rows * (double)STRIP - at, BAND, "blank");
	fprintf(c->to, "<text x='%.2f' y='%.0f' class='end'>%s</text>\n", x + 8,
		y + BAND / 2.0 + 4, c->map->complete ? "end of data" : "not read");
}

/* What begins at the left of each row. */
static void draw_places(const struct canvas *c)
{
	const struct map *map = c->map;
	double at = 0;
	int row = 0;

	for (size_t i = 0; i < map->n_files && row < c->rows; i += segment(map, i)) {
		const struct map_file *file = &map->files[i];
		double length = length_of(c, file);

		for (; row < c->rows && at + length > row * (double)STRIP; row++) {
			fprintf(c->to, "<text x='%d' y='%d' class='place'>file %" PRIu64, MARGIN,
				FIRST + row * ROW - 12, file->number);
			if (at >= row * (double)STRIP && file->lbn != PMT_UNKNOWN)
				fprintf(c->to, ", LBN %" PRIu64, file->lbn);
			else
				fputs(", continued", c->to);
			fputs("</text>\n", c->to);
		}
		at += length;
	}
}

static void draw_head(const struct canvas *c)
{
	const struct map *map = c->map;
	const struct pmt_tally *tally = &map->tally;

	fputs("<text x='40' y='46' class='title'>", c->to);
	put_text(c->to, map->spec);
	fprintf(c->to, "</text>\n<text x='40' y='72' class='head'>%zu file%s &#183; %" PRIu64
		" records &#183; %" PRIu64 " filemarks &#183; %s bytes &#183; CRC-32C %08"
		PRIx32, map->n_files, map->n_files == 1 ? "" : "s", tally->records,
		tally->marks, size_text(tally->bytes).text, tally->crc);
	if (tally->damaged)
		fprintf(c->to, "<tspan class='bad' dx='14'>%" PRIu64 " damaged</tspan>",
			tally->damaged);
	fputs("</text>\n", c->to);
}

static void draw_legend(const struct canvas *c, int y)
{
	fprintf(c->to, "<g transform='translate(40 %d)' class='legend'>"
		"<rect width='26' height='12' class='even'/><rect x='26' width='26' "
		"height='12' class='odd'/><text x='60' y='11'>files</text>"
		"<rect x='120' width='40' height='12' class='even'/><path d='M120 12v-4h10v-3h10"
		"v4h10v-6h10v9z' class='size'/><text x='168' y='11'>size of the records, up to "
		"%s</text><path d='M400 -2v16' class='mark'/><circle cx='400' cy='-2' r='2.6' "
		"class='cap'/><text x='410' y='11'>filemark</text>"
		"<path d='M500 1l5.5 10h-11z' class='flag'/><text x='512' y='11'>damaged</text>"
		"<rect x='600' width='40' height='12' class='blank'/><text x='648' y='11'>"
		"behind the end of data</text></g>\n", y, size_text(c->largest).text);
}

static void cell(const struct canvas *c, int x, int y, const char *style, const char *text)
{
	fprintf(c->to, "<text x='%d' y='%d' class='%s'>%s</text>\n", x, y, style, text);
}

static void number_cell(const struct canvas *c, int x, int y, uint64_t number)
{
	char text[24] = "-";

	if (number != PMT_UNKNOWN)
		snprintf(text, sizeof(text), "%" PRIu64, number);
	cell(c, x, y, "num", text);
}

static void draw_line(const struct canvas *c, size_t i, int y)
{
	const struct map_file *file = &c->map->files[i];
	size_t run = segment(c->map, i);
	char note[64] = "";

	if (i % 2 == 0)
		fprintf(c->to, "<rect x='40' y='%d' width='%d' height='%d' class='zebra'/>\n",
			y - 16, STRIP, LINE);
	number_cell(c, 100, y, file->number);
	number_cell(c, 230, y, file->lbn);
	number_cell(c, 370, y, file->records);
	number_cell(c, 540, y, file->bytes);
	cell(c, 580, y, "left", map_sizes(file).text);
	if (c->most)
		fprintf(c->to, "<rect x='760' y='%d' width='%.1f' height='10' "
			"class='share'/>\n", y - 10,
			200 * (double)file->bytes / (double)c->most);
	if (run > 1)
		snprintf(note, sizeof(note), "%zu filemarks", run);
	else if (file->damaged)
		snprintf(note, sizeof(note), "%" PRIu64 " damaged", file->damaged);
	else if (!file->mark)
		snprintf(note, sizeof(note), "no filemark");
	cell(c, 990, y, file->damaged ? "bad" : "left", note);
}

static void draw_table(const struct canvas *c, int y)
{
	size_t lines = 0, i;
	char more[48];

	cell(c, 100, y, "col", "File");
	cell(c, 230, y, "col", "LBN");
	cell(c, 370, y, "col", "Records");
	cell(c, 540, y, "col", "Bytes");
	cell(c, 580, y, "colleft", "Record size");
	cell(c, 760, y, "colleft", "Bytes");
	for (i = 0; i < c->map->n_files && lines < LISTED; i += segment(c->map, i))
		draw_line(c, i, y + (int)++lines * LINE + 4);
	if (i >= c->map->n_files)
		return;
	snprintf(more, sizeof(more), "and %zu files more", c->map->n_files - i);
	cell(c, 60, y + (int)(lines + 1) * LINE + 4, "left", more);
}

static const char style[] =
	"<style>"
	"text{font-family:'DejaVu Sans','Segoe UI',Helvetica,Arial,sans-serif;fill:#27313a}"
	".title{font-size:21px;font-weight:bold}.head{font-size:14px;fill:#5a6772}"
	".bad{font-size:13px;fill:#c62828;font-weight:bold}"
	".even{fill:#2f6f9f}.odd{fill:#3f8f8a}.empty{fill:#9aa5ad}"
	".blank{fill:url(#blank)}.size{fill:#ffffff;fill-opacity:.34;shape-rendering:crispEdges}"
	".mark{stroke:#1d252c;stroke-width:2;fill:none}.cap{fill:#1d252c}"
	".hurt{stroke:#ff3b30;stroke-width:2.4}.flag{fill:#d32f2f}"
	".number{font-size:12px;font-weight:bold;fill:#fff}"
	".in{font-size:11px;font-weight:normal;fill:#e3eef5}"
	".place{font-size:11px;fill:#7a8690}.end{font-size:11px;fill:#7a8690}"
	".legend text{font-size:12px;fill:#5a6772}"
	".num{font-size:13px;text-anchor:end}.left{font-size:13px}"
	".col{font-size:12px;text-anchor:end;fill:#7a8690}.colleft{font-size:12px;fill:#7a8690}"
	".zebra{fill:#f3f6f8}.share{fill:#2f6f9f;fill-opacity:.75}"
	"</style>"
	"<defs><pattern id='blank' width='8' height='8' patternUnits='userSpaceOnUse' "
	"patternTransform='rotate(45)'><rect width='8' height='8' fill='#eceff1'/>"
	"<rect width='3' height='8' fill='#dfe4e7'/></pattern></defs>";

static void draw(struct canvas *c)
{
	size_t lines;
	int legend, height;

	measure(c);
	lines = c->n < LISTED ? c->n : LISTED + 1;
	legend = FIRST + c->rows * ROW - 16;
	height = legend + 64 + (int)(lines + 1) * LINE + 20;
	fprintf(c->to, "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
		"viewBox='0 0 %d %d'>\n<title>", WIDTH, height, WIDTH, height);
	put_text(c->to, c->map->spec);
	fprintf(c->to, "</title>%s\n<rect width='100%%' height='100%%' fill='#fff'/>\n", style);
	draw_head(c);
	draw_places(c);
	draw_rest(c, draw_tape(c));
	draw_legend(c, legend);
	draw_table(c, legend + 56);
	fputs("</svg>\n", c->to);
}

int map_draw(const struct map *map, const char *path)
{
	struct canvas c = { .map = map, .to = fopen(path, "we") };
	int rc = c.to ? 0 : -errno;

	if (c.to) {
		draw(&c);
		if (ferror(c.to))
			rc = -EIO;
		if (fclose(c.to) && !rc)
			rc = -errno;
	}
	if (rc)
		fprintf(stderr, "pmt map: %s: the picture could not be written: %s\n", path,
			strerror(-rc));
	return rc;
}
