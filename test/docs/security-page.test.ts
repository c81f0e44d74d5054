import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = new URL('../..', import.meta.url).pathname
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const PAGE = 'docs/security.md'

/** The rows of the table below a heading, cell by cell, without its head. */
const tableBelow = (page: string, heading: string): readonly (readonly string[])[] => {
  const section = page.split(`\n## ${heading}\n`)[1]?.split(/\n## /)[0] ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('| '))
  return lines.slice(1).map((line) => line.slice(2, -2).split(' | '))
}

interface Link {
  readonly text: string
  readonly path: string
  readonly anchor: string
}

/** The links of a text to places in this repository, its own page among them. */
const linksIn = (text: string, page: string): readonly Link[] =>
  [...text.matchAll(/\[([^\]]+)\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)].map(
    ([, words = '', target = '', anchor = '']) => ({
      text: words.replaceAll('\n', ' '),
      path: target === '' ? page : join(dirname(page), target),
      anchor,
    }),
  )

/** As the places that show Markdown make it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

const anchorsOf = (text: string): readonly string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Whether a file of tests has a title, of a test or of a group, with these words in it. */
const hasTitle = (file: string, words: string): boolean =>
  new RegExp(
    `(?:\\b(?:test|describe)(?:\\.\\w+)*|\\))\\(\\s*(?:'[^'\\n]*|"[^"\\n]*|\`[^\`\\n]*|)${escaped(words)}`,
    'm',
  ).test(file)

const page = read(PAGE)

describe('the threat model', () => {
  const rows = tableBelow(page, 'The threat model')

  test('has a row for each place at which somebody may stand, by a name of its own', () => {
    expect(rows.map(([name]) => name?.slice(1, -1))).toEqual([
      'guessing',
      'stolen-cookie',
      'fixation',
      'another-user',
      'hostile-data',
      'robot',
      'flood',
      'browser-network',
      'memcached-network',
      'backend-network',
      'memcached-reader',
      'memcached-writer',
      'memcached-replay',
      'hostile-server',
      'backend-reader',
      'backend-writer',
      'old-backup',
      'another-application',
      'operator',
      'log-reader',
      'dependency',
      'release',
    ])
  })

  test('says in each row who, what holds, what does not, and which test shows it', () => {
    for (const row of rows) {
      expect(row, row[0]).toHaveLength(5)
      for (const cell of row.slice(1)) expect(cell, row[0]).toMatch(/\S/)
    }
  })

  test('names in each row tests that there are, by words of their titles', () => {
    const shown = rows.flatMap(([name = '', , , , tests = '']) => {
      const links = linksIn(tests, PAGE)
      expect(links.length, name).toBeGreaterThanOrEqual(1)
      return links.map((link) => ({ name, ...link }))
    })
    const missing = shown
      .filter(({ path }) => !/^test\/.*\.test\.ts$/.test(path) || !existsSync(join(root, path)))
      .map(({ name, path }) => `${name}: ${path} is no file of tests`)
    expect(missing).toEqual([])
    const untitled = shown
      .filter(({ path, text }) => !hasTitle(read(path), text))
      .map(({ name, path, text }) => `${name}: no title in ${path} has the words "${text}"`)
    expect(untitled).toEqual([])
  })

  test.each([
    ['a comment', "// a promise that is kept\ntest('another', () => {})"],
    ['the body of a test', "test('another', () => {\n  const words = 'a promise that is kept'\n})"],
    ['another promise', "test('a promise that is broken', () => {})"],
  ])('does not take %s for a title', (_what, file) => {
    expect(hasTitle(file, 'a promise that is kept')).toBe(false)
  })

  test.each([
    "test('a promise that is kept', () => {})",
    'test(`one more, a promise that is kept`, () => {})',
    'test(\n    "a promise that is kept",\n    async () => {},\n)',
    "test.each([1, 2])('a promise that is kept by %s', () => {})",
    "describe('a promise that is kept', () => {})",
    "] as const)(\n  'a promise that is kept',\n",
  ])('finds the title in %j', (file) => {
    expect(hasTitle(file, 'a promise that is kept')).toBe(true)
  })
})

describe('what OWASP asks', () => {
  const STATES = ['met', 'application', 'not']

  test('of sessions in ASVS 5.0 has a row for each requirement of chapter 7', () => {
    const numbers = { '7.1': 3, '7.2': 4, '7.3': 2, '7.4': 5, '7.5': 3, '7.6': 2 }
    const rows = tableBelow(page, 'OWASP ASVS 5.0, chapter 7')
    expect(rows.map(([number]) => number)).toEqual(
      Object.entries(numbers).flatMap(([section, count]) =>
        Array.from({ length: count }, (_, at) => `${section}.${at + 1}`),
      ),
    )
  })

  test('in its cheat sheet has a row for each section', () => {
    const sections = tableBelow(page, 'OWASP Session Management Cheat Sheet').map(([section]) => section)
    expect(new Set(sections).size).toBe(sections.length)
    expect(sections).toHaveLength(35)
  })

  test.each(['OWASP ASVS 5.0, chapter 7', 'OWASP Session Management Cheat Sheet'])(
    'is met, the application’s with a recipe, or not done: %s',
    (heading) => {
      for (const [name = '', asked = '', state = '', what = '', ...more] of tableBelow(page, heading)) {
        expect(more, name).toEqual([])
        expect(asked, name).toMatch(/\.$/)
        expect(STATES, name).toContain(state)
        expect(what, name).toMatch(/\S/)
        if (state === 'application') expect(what, name).toMatch(/\]\([^)]+\)|`\w+/)
      }
    },
  )
})

test('every link of the page leads to a heading that there is', () => {
  const broken = linksIn(page, PAGE)
    .filter(({ anchor, path }) => anchor !== '' && !anchorsOf(read(path)).includes(anchor))
    .map(({ path, anchor }) => `${path}#${anchor}`)
  expect(broken).toEqual([])
})
