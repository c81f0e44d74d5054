import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import {
  type Complaints,
  clockAndChanceAreArguments,
  dependenciesMatch,
  errorsAreKnownInEveryRealm,
  everyFileIsExplained,
  everyFileIsNamed,
  importsPointInwards,
  type Manifest,
  noImportGoesInACircle,
  noMachinePaths,
  nothingIsLeftUndone,
  nothingIsPrinted,
  sessionIsPure,
  testsChooseTheirDate,
} from './support/architecture-rules.js'
import type { SourceFile } from './support/source-text.js'

const root = fileURLToPath(new URL('..', import.meta.url))

const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8')

const filesIn = (folder: string, ending: RegExp): SourceFile[] =>
  readdirSync(`${root}/${folder}`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length).replace(/^\/+/, '').replaceAll('\\', '/'))
    .filter((path) => !path.includes('node_modules/'))
    .map((path) => ({ path, text: read(path) }))

const sources = filesIn('src', /\.ts$/)
const programs = [
  ...sources,
  ...['test', 'scripts', 'docs', '.ci'].flatMap((folder) => filesIn(folder, /\.(m?ts|c?js)$/)),
]
const tests = filesIn('test', /\.(m?ts|c?js)$/)
const everything = ['src', 'test', 'scripts', 'docs', 'sql', '.ci'].flatMap((folder) => filesIn(folder, /./))

/** Dependencies that nothing imports yet. */
const EXCUSED: Readonly<Record<string, string>> = {}

/** A file of a made-up repository, to see a rule complain. */
const file = (path: string, ...lines: string[]): SourceFile => ({ path, text: lines.join('\n') })

describe('in this repository', () => {
  test('there are sources to judge', () => {
    expect(sources.length).toBeGreaterThan(40)
    expect(programs.length).toBeGreaterThan(sources.length)
  })

  const holds = (title: string, complaints: () => Complaints): void => {
    test(title, () => expect(complaints()).toEqual([]))
  }
  const manifest = (): Manifest => JSON.parse(read('package.json')) as Manifest

  holds('imports point inwards', () => importsPointInwards(sources))
  holds('no file imports itself by way of others', () => noImportGoesInACircle(sources))
  holds('src/session does no I/O', () => sessionIsPure(sources))
  holds('only src/runtime.ts reads the clock, sets timers and draws lots', () => clockAndChanceAreArguments(sources))
  holds('no test goes by the day on which it runs', () => testsChooseTheirDate(tests))
  holds('an error of another realm is one', () => errorsAreKnownInEveryRealm(sources))
  holds('the library prints nothing', () => nothingIsPrinted(sources))
  holds('every file says what it is for', () => everyFileIsExplained(sources))
  holds('docs/architecture.md names every file of these folders, and no other', () =>
    everyFileIsNamed(sources, { path: 'docs/architecture.md', text: read('docs/architecture.md') }, [
      'src/adapters/',
      'src/backends/',
      'src/caches/',
      'src/cli/',
      'src/codecs/',
      'src/contract/',
      'src/environment/',
      'src/session/',
      'src/shutdown/',
      'src/store/',
      'src/tools/',
    ]),
  )
  holds('every package that is imported is declared, and the other way round', () =>
    dependenciesMatch(sources, manifest(), EXCUSED),
  )
  holds('no file names a path of the machine it was written on', () => noMachinePaths(everything))
  holds('nothing is left undone, silenced or switched off', () => nothingIsLeftUndone(programs))
})

describe('the rules notice', () => {
  const noticed = (complaints: Complaints): void => expect(complaints).toHaveLength(1)

  test.each([
    ['the store importing a cache', 'src/store/protocol/read.ts', '../../caches/memcached/index.js'],
    ['the store importing a backend', 'src/store/protocol/flush.ts', '../../backends/postgres/index.js'],
    ['the store importing a codec', 'src/store/protocol/flush.ts', '../../codecs/index.js'],
    ['the store importing an adapter', 'src/store/protocol/flush.ts', '../../adapters/express.js'],
    ['a session rule importing the runtime', 'src/session/id.ts', '../runtime.js'],
    ['a cache importing another', 'src/caches/memory/index.ts', '../memcached/index.js'],
    ['a backend importing another', 'src/backends/postgres/index.ts', '../memory/index.js'],
    ['a backend importing a cache', 'src/backends/postgres/index.ts', '../../caches/memory/index.js'],
    ['a cache importing the store', 'src/caches/memcached/index.ts', '../../store/protocol/read.js'],
    ['a contract importing a session rule', 'src/contract/codec.ts', '../session/key.js'],
    ['a contract suite importing what it judges', 'src/testing/suite.ts', '../backends/memory/index.js'],
    ['an adapter importing a cache', 'src/adapters/express.ts', '../caches/memcached/index.js'],
    ['a codec importing the composition', 'src/codecs/json.ts', '../create-session-store.js'],
  ])('%s', (_what, path, specifier) => {
    noticed(importsPointInwards([file(path, `import { thing } from '${specifier}'`)]))
    noticed(importsPointInwards([file(path, 'import {', '  thing,', `} from '${specifier}'`)]))
    noticed(importsPointInwards([file(path, `import type { Thing } from '${specifier}'`)]))
    noticed(importsPointInwards([file(path, `export * from '${specifier}'`)]))
    noticed(importsPointInwards([file(path, `const thing = await import('${specifier}')`)]))
  })

  test('a file in a folder that no rule knows', () => {
    noticed(importsPointInwards([file('src/helpers/misc.ts', 'export const a = 1')]))
  })

  test('neither comments nor composition, which may import everything', () => {
    const cache = 'caches/memory/index.js'
    expect(importsPointInwards([file('src/store/protocol/read.ts', `// import { a } from '../${cache}'`)])).toEqual([])
    expect(importsPointInwards([file('src/create-session-store.ts', `import { a } from './${cache}'`)])).toEqual([])
  })

  test('files that import each other in a circle, also for types alone', () => {
    const imports = (path: string, specifier: string): SourceFile =>
      file(path, `import type { Thing } from '${specifier}'`)
    noticed(noImportGoesInACircle([imports('src/a.ts', './b.js'), imports('src/b.ts', './a.js')]))
    noticed(
      noImportGoesInACircle([
        imports('src/start.ts', './store/a.js'),
        imports('src/store/a.ts', './b.js'),
        imports('src/store/b.ts', '../session/c.js'),
        imports('src/session/c.ts', '../store/a.js'),
      ]),
    )
    expect(
      noImportGoesInACircle([
        file('src/a.ts', "export { b } from './b.js'", "export { c } from './c.js'"),
        imports('src/b.ts', './c.js'),
        file('src/c.ts', 'export const c = 1'),
      ]),
    ).toEqual([])
  })

  test('I/O and foreign packages in src/session', () => {
    noticed(sessionIsPure([file('src/session/key.ts', "import { readFileSync } from 'node:fs'")]))
    noticed(sessionIsPure([file('src/session/key.ts', "import { LRUCache } from 'lru-cache'")]))
    expect(sessionIsPure([file('src/session/key.ts', "import { createHash } from 'node:crypto'")])).toEqual([])
  })

  test.each([
    'const at = Date.now()',
    'const at = new Date()',
    'const at = performance.now()',
    'const at = process.hrtime.bigint()',
    'const lot = Math.random()',
    'setTimeout(go, 10)',
    'setInterval(go, 10)',
    "import { createHash, randomBytes } from 'node:crypto'",
    "import { scheduler } from 'node:timers/promises'",
    'fetch(url, { signal: AbortSignal.timeout(5) })',
    'const pattern = /[/"]/\nconst at = Date.now() // "',
  ])('the clock or chance in %j', (line) => {
    noticed(clockAndChanceAreArguments([file('src/store/protocol/read.ts', line)]))
    expect(clockAndChanceAreArguments([file('src/runtime.ts', line)])).toEqual([])
    expect(clockAndChanceAreArguments([file('src/store/protocol/read.ts', `/* ${line} */`)])).toEqual([])
  })

  test('no wrong where the runtime is asked', () => {
    const line = 'const nonce = runtime.randomBytes(8) // not Date.now()'
    expect(clockAndChanceAreArguments([file('src/store/protocol/read.ts', line)])).toEqual([])
  })

  test('a test that goes by the day on which it runs', () => {
    noticed(testsChooseTheirDate([file('test/store/a.test.ts', 'const now = Date.now()')]))
    noticed(testsChooseTheirDate([file('test/store/a.test.ts', 'const month = new Date().toISOString()')]))
    const from = "from '../../src/backends/couchdb/index.js'"
    for (const names of ['couchdb', 'type CouchdbOptions, couchdb', 'couchdb, type CouchdbOptions', 'couchdb as make'])
      noticed(testsChooseTheirDate([file('test/store/a.test.ts', `import { ${names} } ${from}`)]))
    expect(
      testsChooseTheirDate([
        file('test/store/a.test.ts', `import type { CouchdbOptions } ${from}`, 'new Date(0)', '// Date.now()'),
        file('test/store/b.test.ts', "import { couchdb } from '../backends/couchdb/backend.js'"),
      ]),
    ).toEqual([])
    noticed(testsChooseTheirDate([file('test/support/seed.ts', 'export const seed = 1')]))
  })

  test('a file that the page of the architecture does not name, names twice, or names although it is not there', () => {
    const page = (...rows: string[]): SourceFile =>
      file(
        'docs/architecture.md',
        '| `src/store/` | what |',
        '|---|---|',
        ...rows.map((name) => `| \`${name}\` | it |`),
      )
    const judged = (rows: string[], ...paths: string[]): Complaints =>
      everyFileIsNamed(
        paths.map((path) => file(path)),
        page(...rows),
        ['src/store/'],
      )
    expect(judged(['a.ts'], 'src/store/a.ts', 'src/caches/b.ts')).toEqual([])
    noticed(judged(['a.ts'], 'src/store/a.ts', 'src/store/calls/b.ts'))
    noticed(judged(['a.ts', 'b.ts'], 'src/store/a.ts'))
    noticed(judged(['a.ts', 'a.ts'], 'src/store/a.ts'))
  })

  test('an error that is asked for by the program’s own class', () => {
    noticed(errorsAreKnownInEveryRealm([file('src/store/protocol/read.ts', 'if (cause instanceof Error) throw cause')]))
    noticed(errorsAreKnownInEveryRealm([file('src/caches/a/index.ts', 'cause instanceof AggregateError')]))
    expect(
      errorsAreKnownInEveryRealm([
        file('src/store/protocol/read.ts', 'cause instanceof ErrorOfOurs // instanceof Error'),
      ]),
    ).toEqual([])
  })

  test('printing', () => {
    noticed(nothingIsPrinted([file('src/store/protocol/read.ts', "console.warn('careful')")]))
    noticed(nothingIsPrinted([file('src/store/protocol/read.ts', "process.stderr.write('careful')")]))
    expect(
      nothingIsPrinted([file('src/store/protocol/read.ts', "const advice = 'use console.log' // console.log")]),
    ).toEqual([])
  })

  test('a file that does not say what it is for', () => {
    noticed(everyFileIsExplained([file('src/a.ts', "import { b } from './b.js'", '', 'export const a = b')]))
    noticed(everyFileIsExplained([file('src/a.ts', '/** Todo. */', 'export const a = 1')]))
    // Below an import, a comment above something private does not speak for the whole file.
    noticed(
      everyFileIsExplained([
        file('src/a.ts', "import './b.js'", '/** What it is for, at length. */', 'const b = 1', 'export const a = b'),
      ]),
    )
    expect(everyFileIsExplained([file('src/a.ts', '/** What it is for, at length. */', 'export type A = 1')])).toEqual(
      [],
    )
    expect(everyFileIsExplained([file('src/index.ts', "export { a } from './a.js'")])).toEqual([])
  })

  test('dependencies that are undeclared, unused or needlessly excused', () => {
    const importing = [file('src/a.ts', "import { inspect } from '@scope/tool/sub'")]
    noticed(dependenciesMatch(importing, {}, {}))
    noticed(dependenciesMatch([], { dependencies: { pg: '^8' } }, {}))
    noticed(dependenciesMatch(importing, { dependencies: { '@scope/tool': '^1' } }, { '@scope/tool': 'later' }))
    expect(dependenciesMatch([], { dependencies: { pg: '^8' } }, { pg: 'comes later' })).toEqual([])
    expect(dependenciesMatch(importing, { peerDependencies: { '@scope/tool': '^1' } }, {})).toEqual([])
  })

  test('paths of one machine', () => {
    for (const folder of ['root', 'home/ann', 'Users/ann'])
      noticed(noMachinePaths([file('docs/a.md', `see ${['', folder, 'project'].join('/')}`)]))
    expect(
      noMachinePaths([file('docs/a.md', 'GET https://example.org/root/a, $HOME/project, /usr/bin/memcached')]),
    ).toEqual([])
  })

  test.each([
    ['TO', 'DO: later'],
    ['// @ts-', 'ignore'],
    ['test.on', "ly('a', () => {})"],
    ['describe.sk', "ip('a', () => {})"],
    ['// biome-', 'ignore lint/style/useConst'],
  ])('unfinished work: %s%s', (head, tail) => {
    noticed(nothingIsLeftUndone([file('test/a.test.ts', head + tail)]))
  })
})
