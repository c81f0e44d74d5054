import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = new URL('../..', import.meta.url).pathname
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const pages = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path)),
]

/** What a link calls a heading: its words in lower case, without signs, with hyphens for the spaces. */
const slug = (words: string): string =>
  words
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-')

describe('the documentation', () => {
  test('a program in a page is the example file it names, which is compiled with the rest', () => {
    const programs = pages.flatMap((page) =>
      [...read(page).matchAll(/^```(?:ts|tsx|js) file=(\S+)\n([\s\S]*?)^```$/gm)].map(([, file = '', text = '']) => ({
        file,
        text,
      })),
    )
    expect(programs.length).toBeGreaterThanOrEqual(3)
    for (const { file, text } of programs) expect(read(file), file).toBe(text)
  })

  test('the first program does what its comments say', () => {
    const printed = execFileSync(process.execPath, ['--import', 'tsx', 'docs/examples/first.ts'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    expect(printed).toBe("[ 'tea', 'coffee' ]\nundefined\n")
  })

  test('the program of the audit trail prints a line for each event, as its page shows them', () => {
    const printed = execFileSync(process.execPath, ['--import', 'tsx', 'docs/examples/audit.ts'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const lines = printed
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const said = lines.map(({ action, by, user, outcome }) => [action, by, user, outcome].join(' '))
    expect(said).toEqual([
      ...['created request  done', 'regenerated request ann done', 'identified request ann done'],
      ...['destroyed request ann done', 'created request ann done', 'identified request ann done'],
      ...['logged-out-everywhere operator ann done', 'destroyed operator ann done'],
    ])
    const shown = [...read('docs/audit.md').matchAll(/^\{"time".*$/gm)].map(([line]) => JSON.parse(line) as object)
    expect(shown.map((line) => Object.keys(line))).toEqual(lines.slice(0, 4).map((line) => Object.keys(line)))
    expect(new Set(lines.map(({ session }) => session).filter((name) => name !== undefined)).size).toBe(2)
  })

  test('every action, actor and field of the audit trail is on its page', () => {
    const source = read('src/contract/events.ts')
    const partOf = (head: string, end: string): string => source.split(head)[1]?.split(end)[0] ?? ''
    const names = [
      ...partOf('export type AuditAction =', '\n\n').matchAll(/^ {2}\| '([\w-]+)'/gm),
      ...partOf('export type AuditActor =', '\n').matchAll(/'(\w+)'/g),
      ...partOf('export interface AuditEvent {', '\n}').matchAll(/^ {2}readonly (\w+)\??:/gm),
    ].map(([, name = '']) => name)
    expect(names.length).toBeGreaterThan(20)
    const page = read('docs/audit.md')
    const cells = [...page.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([\w-]+)`/g)].map(([, name = '']) => name),
    )
    expect([...new Set(cells)].sort()).toEqual([...new Set([...names, 'action', 'by'])].sort())
  })

  test('the program for those who come from redis-sessions does what its comments say', () => {
    const printed = execFileSync(process.execPath, ['--import', 'tsx', 'docs/examples/redis-sessions.ts'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    expect(printed).toBe('1 2 { unread: 34 }\n{ activity: 1 }\n{ kill: 1 }\nnull\n')
  })

  test('every option of the facade of redis-sessions is on the page for those who come from there', () => {
    const page = read('docs/migrating/redis-sessions.md')
    const options = ['options', 'manners'].flatMap((file) =>
      [...read(`src/adapters/redis-sessions/${file}.ts`).matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name]) => name),
    )
    expect(options.length).toBeGreaterThan(15)
    expect(options.filter((name) => !new RegExp(`^\\| .*\`${name}\`.* \\|`, 'm').test(page))).toEqual([])
  })

  test('every page of docs leads to the glossary once, but for the decisions', () => {
    const withoutLink = pages
      .filter((page) => /^docs\/[^/]+\.md$/.test(page) && page !== 'docs/glossary.md')
      .filter((page) => read(page).split('](glossary.md)').length !== 2)
    expect(withoutLink).toEqual([])
  })

  test('the glossary explains each word once, in one sentence', () => {
    const rows = [...read('docs/glossary.md').matchAll(/^\| \*\*(.+)\*\* \| (.+) \|$/gm)]
    const words = rows.map(([, word]) => word)
    expect(words.length).toBeGreaterThan(20)
    expect(new Set(words).size).toBe(words.length)
    for (const [, word, sentence = ''] of rows) expect(sentence, word).toMatch(/^[A-Z][^.]*\.$/)
  })

  test('every link to a file of the repository leads to one', () => {
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map(([, target = '']) => join(dirname(page), target))
        .filter((target) => !existsSync(join(root, target)))
        .map((target) => `${page} -> ${target}`),
    )
    expect(broken).toEqual([])
  })

  test('every link to a heading leads to one, in its own page or another', () => {
    const text = (page: string): string => read(page).replace(/^```[\s\S]*?^```$/gm, '')
    const headings = new Map(
      pages.map((page) => [
        page,
        new Set([...text(page).matchAll(/^#{1,6} (.*)$/gm)].map(([, words = '']) => slug(words))),
      ]),
    )
    const links = pages.flatMap((page) =>
      [...text(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)/g)].map(
        ([, target = '', heading = '']) => ({
          page,
          target: target === '' ? page : join(dirname(page), target),
          heading,
        }),
      ),
    )
    expect(links.length).toBeGreaterThan(100)
    const broken = links.filter(({ target, heading }) => headings.get(target)?.has(heading) === false)
    expect(broken).toEqual([])
  })

  test('every option is on the configuration page, with its default', () => {
    const page = read('docs/configuration.md')
    const interfaces = [
      ['src/store/options.ts', 'StoreOptions'],
      ['src/caches/memcached/options.ts', 'MemcachedOptions'],
      ['src/backends/postgres/options.ts', 'PostgresOptions'],
      ['src/backends/postgres/own-pool.ts', 'ServerOptions'],
      ['src/backends/couchdb/options.ts', 'CouchdbOptions'],
      ['src/backends/redis/options.ts', 'RedisOptions'],
      ['src/caches/memory/index.ts', 'MemoryCacheOptions'],
      ['src/backends/memory/options.ts', 'MemoryBackendOptions'],
    ] as const
    const missing = interfaces.flatMap(([file, name]) => {
      const body = new RegExp(`export interface ${name}(?:<[^>]*>)?(?: extends \\w+)? \\{\\n([\\s\\S]*?)\\n\\}`).exec(
        read(file),
      )?.[1]
      if (body === undefined) return [`${name} in ${file}`]
      return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)]
        .map(([, option = '']) => option)
        .filter((option) => !new RegExp(`\`[^\`\n]*\\b${option}\\b[^\`\n]*\``).test(page))
    })
    expect(missing).toEqual([])
  })

  test('every event, counter and reason of a flush is on the page about observing, and no other', () => {
    const source = read('src/contract/events.ts')
    const bodyOf = (head: string, end: string): string => source.split(head)[1]?.split(end)[0] ?? ''
    const told = [
      ...[...bodyOf('export interface StoreEvents {', '\n}').matchAll(/^ {2}(\w+): /gm)],
      ...[...bodyOf('export interface StoreStats {', '\n}').matchAll(/^ {2}readonly (\w+):/gm)],
      ...[...bodyOf('export type FlushReason =', '\n\n').matchAll(/^ {2}\| '(\w+)'/gm)],
    ].map(([, name]) => name)
    const documented = [...read('docs/observing.md').matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    )
    expect(new Set(told).size).toBeGreaterThan(20)
    expect([...new Set(documented)].sort()).toEqual([...new Set(told)].sort())
  })

  test('every error code is on the errors page, and no other', () => {
    const union = /export type SessionStoreErrorCode =\n([\s\S]*?)\n\n/.exec(read('src/errors.ts'))?.[1] ?? ''
    const codes = [...union.matchAll(/'(E_\w+)'/g)].map(([, code = '']) => code)
    const documented = [...read('docs/errors.md').matchAll(/^\| `(E_\w+)` \|/gm)].map(([, code = '']) => code)
    expect(codes.length).toBeGreaterThanOrEqual(10)
    expect(documented.sort()).toEqual(codes.sort())
  })
})
