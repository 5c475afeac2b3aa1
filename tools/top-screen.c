// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt top's screen: a title, the heads of the columns, rows that can be scrolled, a foot
 */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <sys/ioctl.h>

#include "top.h"

#define ABOVE 2		/* lines that are not rows */
#define BELOW 1

enum { PLAIN, BAD, NEAR_END };

static struct {
	SCREEN *screen;
	bool colours;
	int first;		/* row that is uppermost */
} view;

int screen_open(void)
{
	setlocale(LC_CTYPE, "");
	view.screen = newterm(NULL, stdout, stdin);
	if (!view.screen)
		return -EINVAL;
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	view.colours = has_colors() && !getenv("NO_COLOR") && start_color() == OK &&
		     use_default_colors() == OK;
	if (view.colours) {
		init_pair(BAD, COLOR_RED, -1);
		init_pair(NEAR_END, COLOR_YELLOW, -1);
	}
	return 0;
}

void screen_close(void)
{
	if (!view.screen)
		return;
	endwin();
	delscreen(view.screen);
	view.screen = NULL;
}

void screen_resize(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
		resizeterm(size.ws_row, size.ws_col);
	clearok(stdscr, TRUE);
}

/* Never behind the last column, where a terminal would go on with the next line. */
static void put(int line, attr_t look, const char *text)
{
	if (line < 0 || line >= LINES || COLS < 2)
		return;
	attrset(look);
	mvaddnstr(line, 0, text, COLS - 1);
	clrtoeol();
	attrset(A_NORMAL);
}

static attr_t look_of(const struct top_row *row)
{
	int pair = row->bad ? BAD : row->early_warning ? NEAR_END : PLAIN;
	attr_t look = row->copy ? A_NORMAL : A_BOLD;

	return view.colours ? look | COLOR_PAIR(pair) : look;
}

static void put_rows(const struct top_row *rows, int n)
{
	int room = LINES - ABOVE - BELOW;

	if (view.first > n - room)
		view.first = n - room;
	if (view.first < 0)
		view.first = 0;
	for (int i = 0; i < room && view.first + i < n; i++)
		put(ABOVE + i, look_of(&rows[view.first + i]), top_text(&rows[view.first + i]).text);
	if (!n && room > 0)
		put(ABOVE, A_NORMAL, "There are no units; pmt new makes one.");
}

void screen_draw(const char *title, const struct top_row *rows, size_t n, const char *foot)
{
	erase();
	put(0, A_BOLD, title);
	put(1, A_REVERSE, top_text(NULL).text);
	put_rows(rows, (int)n);
	if (LINES > ABOVE + BELOW)
		put(LINES - 1, A_NORMAL, foot);
	refresh();
}

enum top_key screen_key(void)
{
	int page = LINES > ABOVE + BELOW + 1 ? LINES - ABOVE - BELOW - 1 : 1;

	switch (getch()) {
	case ERR:
		return TOP_KEY_NONE;
	case 'q': case 'Q':
		return TOP_KEY_QUIT;
	case 's':
		return TOP_KEY_SORT;
	case KEY_UP: case 'k':
		view.first--;
		break;
	case KEY_DOWN: case 'j':
		view.first++;
		break;
	case KEY_PPAGE:
		view.first -= page;
		break;
	case KEY_NPAGE: case ' ':
		view.first += page;
		break;
	case KEY_HOME: case 'g':
		view.first = 0;
		break;
	}
	return TOP_KEY_MOVED;
}
