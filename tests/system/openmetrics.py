#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads OpenMetrics text by the rules of the format; prints "name{labels} value", sorted.

What breaks a rule is told by its line, and the status is 1: families are declared once,
before their samples, which stand together; names and suffixes fit the type and the unit;
no sample is there twice; labels are quoted as they must be; the end is "# EOF".
"""
import re, sys

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf'({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?\}})? (\S+)')
SUFFIXES = {'gauge': [''], 'counter': ['_total']}


def refuse(number, why):
    sys.exit(f'line {number}: {why}')


def declare(number, line, families, family):
    match = re.fullmatch(rf'# (TYPE|UNIT|HELP) ({NAME}) (.+)', line)
    if not match:
        refuse(number, 'no line of metadata')
    kind, name, text = match.groups()
    if name != family:
        if name in families:
            refuse(number, f'{name} is there twice, or not together')
        families[name] = {'samples': 0}
    told = families[name]
    if kind in told or told['samples']:
        refuse(number, f'{kind} of {name} is too late, or there twice')
    told[kind] = text
    if kind == 'TYPE' and text not in SUFFIXES:
        refuse(number, f'no type that all readers know: {text}')
    if kind == 'UNIT' and not name.endswith('_' + text):
        refuse(number, f'{name} does not end with its unit')
    return name


def sample(number, line, families, family, seen):
    match = SAMPLE.fullmatch(line)
    if not match:
        refuse(number, 'no sample')
    name, labels, value = match.group(1), match.group(2) or '', match.group(match.re.groups)
    told = families.get(family, {})
    if 'TYPE' not in told or name not in [family + s for s in SUFFIXES[told['TYPE']]]:
        refuse(number, f'{name} is not of the family before it')
    told['samples'] += 1
    pairs = re.findall(LABEL, labels)
    if len({key for key, _ in pairs}) != len(pairs):
        refuse(number, 'a label is there twice')
    if (name, tuple(sorted(pairs))) in seen:
        refuse(number, 'a sample is there twice')
    seen[(name, tuple(sorted(pairs)))] = value
    if not re.fullmatch(r'-?[0-9]+(\.[0-9]+)?', value):
        refuse(number, f'no value: {value}')
    if told['TYPE'] == 'counter' and value.startswith('-'):
        refuse(number, 'a counter below 0')


def main():
    text = sys.stdin.buffer.read().decode('utf-8')
    families, seen, family = {}, {}, None
    if not text.endswith('# EOF\n'):
        sys.exit('it does not end with # EOF and a newline')
    lines = text[:-1].split('\n')
    for number, line in enumerate(lines[:-1], 1):
        if line.startswith('#'):
            family = declare(number, line, families, family)
        else:
            sample(number, line, families, family, seen)
    for (name, pairs), value in sorted(seen.items()):
        print(name + '{' + ','.join(f'{k}="{v}"' for k, v in pairs) + '}', value)


main()
