#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""exec:tape.py\\ FOLDER is a tape: each record a file, a filemark an empty one; pmt-exec(7)."""
import os, sys

folder, at = sys.argv[1], 0
os.makedirs(folder, exist_ok=True)
name = lambda lbn: os.path.join(folder, '%08d' % lbn)
tape = [os.path.getsize(name(lbn)) for lbn in range(len(os.listdir(folder)))]

def put(*objects):                      # here, and the tape ends behind them
    while len(tape) > at:
        tape.pop()
        os.remove(name(len(tape)))
    for data in objects:
        with open(name(len(tape)), 'wb') as file:
            tape.append(file.write(data))
    return len(tape)

def space(records, n):
    place, step = at, -1 if n < 0 else 1
    while n and place != (0 if n < 0 else len(tape)):
        place += step
        mark = tape[min(place, place - step)] == 0
        if mark and records:
            return place, 'mark'
        n -= step * (mark or records)
    return place, 'ok' if n == 0 else 'begin' if n < 0 else 'end'

os.write(1, b'pmt-exec 1 room=1048576\n')
for line in sys.stdin.buffer:
    word, more, data, (command, *words) = 'ok', '', b'', line.decode().split()
    if command == 'write': at = put(sys.stdin.buffer.read(int(words[0])))
    elif command == 'mark': at = put(*[b''] * int(words[0]))
    elif command == 'cut': put()
    elif command == 'sync': os.sync()
    elif command == 'locate':
        at = min(int(words[0]), len(tape))
        word = 'ok' if at == int(words[0]) else 'end'
    elif words == ['end']: at = len(tape)
    elif command == 'space': at, word = space(words[0] == 'records', int(words[1]))
    elif command == 'read' and at == len(tape): word = 'end'
    elif command == 'read':
        with open(name(at), 'rb') as file:
            data = file.read()
        at, word, more = at + 1, 'record' if data else 'mark', len(data) or ''
    elif command in ('load', 'unload'): at, more = 0, f'end={len(tape)}'
    else: word = 'unsupported'
    marks = [lbn for lbn in range(at) if tape[lbn] == 0]
    block = at - marks[-1] - 1 if marks else at
    sys.stdout.buffer.write(f'{word} {at} {len(marks)} {block} {more}\n'.encode() + data)
    sys.stdout.flush()
