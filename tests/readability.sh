#!/usr/bin/env bash
# How the code reads, in numbers: a report, no gate. Tests are left out. Needs Python 3 and git.
#   tests/readability.sh [--list] [FOLDER…]    --list names what is counted, FOLDER bounds it (services/scorer)
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - "$@" <<'PROGRAM'
import argparse
import re
import subprocess

LONGEST_FILE = 400  # lines
LONGEST_FUNCTION = 60  # lines with code in its body
MOST_ARGUMENTS = 4
SHORTEST_DOC = 4  # words

# A string (raw or not), a character, a lifetime or a comment. In this order: a quote inside of a comment or a string
# opens nothing.
TOKEN = re.compile(
    r'''
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<string> \b(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes) | "(?:\\.|[^"\\])*" )
  | (?P<char> '(?:\\(?:u\{[^}]*\}|x..|.)|[^\\'])' )
  | (?P<lifetime> '\w+ )
    ''',
    re.VERBOSE | re.DOTALL,
)
CLOSURE = re.compile(r'\blet\s+(?:mut\s+)?(\w+)\s*(?::[^=;]*)?=\s*(?:async\s+)?(?:move\s+)?\|')
FUNCTION = re.compile(r'\bfn\s+(\w+)')
OPENING, CLOSING = '([{<', ')]}>'


def main():
    arguments = argparse.ArgumentParser(prog='tests/readability.sh')
    arguments.add_argument('--list', action='store_true', help='name what is counted')
    arguments.add_argument('folders', nargs='*', default=['.'])
    arguments = arguments.parse_args()
    counts = Counts()
    for path in source_files(arguments.folders):
        count_file(path, counts)
    counts.show(arguments.list)


class Counts:
    def __init__(self):
        self.n_files = self.n_lines = self.n_characters = self.n_docs = 0
        self.closures, self.short_docs, self.of_docs = [], [], []
        self.tuples, self.many_arguments, self.long_functions, self.long_files = [], [], [], []

    def show(self, with_lists):
        thousands = max(self.n_lines, 1) / 1000
        short = 100 * len(self.short_docs) / max(self.n_docs, 1)
        print(f'{self.n_files} files, {self.n_lines} lines')
        print(f'characters a line, without indentation: {self.n_characters / max(self.n_lines, 1):.1f}')
        for what, found in [
            (f'closures with a name, {len(self.closures) / thousands:.1f} in a thousand lines', self.closures),
            (f'doc blocks of fewer than {SHORTEST_DOC} words, {short:.1f} % of {self.n_docs}', self.short_docs),
            ('doc blocks that begin with "Of"', self.of_docs),
            ('arguments that are tuples or taken apart', self.tuples),
            (f'functions of more than {MOST_ARGUMENTS} arguments', self.many_arguments),
            (f'functions of more than {LONGEST_FUNCTION} lines', self.long_functions),
            (f'files of more than {LONGEST_FILE} lines', self.long_files),
        ]:
            print(f'{what}: {len(found)}')
            if with_lists:
                for line in found:
                    print(f'    {line}')


def source_files(folders):
    """Rust files that git knows or would take, without tests and build scripts."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '--', *folders]
    paths = set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())
    for path in sorted(paths):
        parts = path.split('/')
        if path.endswith('.rs') and 'tests' not in parts and parts[-1] not in ('tests.rs', 'build.rs'):
            yield path


def count_file(path, counts):
    try:
        text = open(path, encoding='utf-8').read()
    except FileNotFoundError:
        return  # removed, and git has not been told
    text = without_tests(text).rstrip('\n')
    lines = text.split('\n')
    code, comment_starts = only_code(text)
    counts.n_files += 1
    counts.n_lines += len(lines)
    counts.n_characters += sum(len(line.strip()) for line in lines)
    if len(lines) > LONGEST_FILE:
        counts.long_files.append(f'{path}: {len(lines)} lines')
    for found in CLOSURE.finditer(code):
        counts.closures.append(f'{path}:{line_of(code, found.start())}: {found[1]}')
    for number, doc in doc_blocks(lines, comment_starts):
        counts.n_docs += 1
        if len(doc.split()) < SHORTEST_DOC:
            counts.short_docs.append(f'{path}:{number}: {doc}')
        if re.match(r'Of\b', doc):
            counts.of_docs.append(f'{path}:{number}: {doc}')
    for found in FUNCTION.finditer(code):
        count_function(f'{path}:{line_of(code, found.start())}: {found[1]}', code, found.end(), counts)


def without_tests(text):
    """A file up to the tests at its foot."""
    return re.split(r'^#\[cfg\(test\)\]\n(?:#\[[^\n]*\n)*mod \w+ \{', text, maxsplit=1, flags=re.MULTILINE)[0]


def only_code(text):
    """The text with blanks for comments and for what is in quotes, and where comments begin."""
    comment_starts = set()

    def blank(found):
        if found['comment']:
            comment_starts.add(found.start())
        if found['lifetime']:
            return found[0]
        return re.sub(r'[^\n]', ' ', found[0])

    return TOKEN.sub(blank, text), comment_starts


def doc_blocks(lines, comment_starts):
    """Each block of doc comments: the number of its first line, and its text."""
    block, first, kind, offset = [], 0, '', 0
    for number, line in enumerate([*lines, ''], 1):
        start = offset + len(line) - len(line.lstrip())
        found = re.match(r'\s*(//[/!])(?!/)\s?(.*)', line) if start in comment_starts else None
        if block and (not found or found[1] != kind):
            yield first, ' '.join(block).strip()
            block = []
        if found:
            if not block:
                first, kind = number, found[1]
            block.append(found[2])
        offset += len(line) + 1


def count_function(name, code, place, counts):
    """Counts a function's arguments and lines; `place` is behind its name."""
    if code[place] == '<':
        place = matching(code, place) + 1
    if code[place] != '(':
        return  # the type `fn(…)` and the like
    end = matching(code, place)
    arguments = split_arguments(code[place + 1 : end])
    if len(arguments) > MOST_ARGUMENTS:
        counts.many_arguments.append(f'{name}: {len(arguments)}')
    for argument in arguments:
        if is_tuple(argument):
            counts.tuples.append(f'{name}: {argument}')
    begin = end + 1
    while begin < len(code) and code[begin] not in '{;':
        begin = matching(code, begin) + 1 if code[begin] in '([' else begin + 1  # the `;` in `[u8; 4]` ends nothing
    if code[begin : begin + 1] != '{':
        return  # a method that a trait only declares
    body = code[begin + 1 : matching(code, begin)]
    n_lines = sum(1 for line in body.split('\n') if line.strip())
    if n_lines > LONGEST_FUNCTION:
        counts.long_functions.append(f'{name}: {n_lines} lines')


def matching(code, place):
    """Where the bracket at `place` is closed. `<` and `>` count only where brackets are angles: not within braces."""
    angles = code[place] != '{'
    depth = 0
    for at in range(place, len(code)):
        letter = code[at]
        if letter in '<>' and (not angles or code[at - 1] in '-='):
            continue
        depth += (letter in OPENING) - (letter in CLOSING)
        if depth == 0:
            return at
    return len(code) - 1


def split_arguments(text):
    arguments, depth, begin = [], 0, 0
    for at, letter in enumerate(text + ','):
        if letter == ',' and depth == 0:
            arguments.append(' '.join(text[begin:at].split()))
            begin = at + 1
        elif not (letter == '>' and text[at - 1] in '-='):
            depth += (letter in OPENING) - (letter in CLOSING)
    return [argument for argument in arguments if argument]


def is_tuple(argument):
    """True for `(a, b): …`, `[a, b]: …` and `a: &(A, B)`."""
    pattern, _, kind = argument.partition(':')
    taken_apart = re.match(r'(?:&\s*)?(?:mut\s+)?[(\[]', pattern)
    kind = re.sub(r"^(?:&\s*)?(?:'\w+\s+)?(?:mut\s+)?", '', kind.strip())
    return bool(taken_apart) or (kind.startswith('(') and len(split_arguments(kind[1:-1])) > 1)


def line_of(text, place):
    return text.count('\n', 0, place) + 1


main()
PROGRAM
