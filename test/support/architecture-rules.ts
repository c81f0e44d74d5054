import { posix } from 'node:path'
import { codeOf, importsOf, packageOf, placesOf, type SourceFile } from './source-text.js'

/** One sentence per broken rule and place; nothing where the rule holds. */
export type Complaints = readonly string[]

/**
 * The part of the program a file in `src/` belongs to: a folder, a file at the top, and for caches and backends the
 * folder of each (`caches/memcached`), since they do not know each other either.
 */
export const partOf = (path: string): string => {
  const [first = '', second = ''] = path.replace(/^src\//, '').split('/')
  return (first === 'caches' || first === 'backends') && second !== '' ? `${first}/${second}` : first
}

/** Parts that may know every other: they put a store together. */
const COMPOSERS = new Set(['index.ts', 'create-session-store.ts', 'from-env.ts', 'memory.ts', 'environment', 'cli'])

/** What the rest may know besides itself. Design: imports point inwards. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': ['contract', 'tools'],
  contract: ['errors.ts'],
  'runtime.ts': ['contract', 'errors.ts'],
  'generate-session-id.ts': ['contract', 'errors.ts', 'runtime.ts', 'session'],
  session: ['contract', 'errors.ts', 'tools'],
  tools: ['contract', 'errors.ts', 'runtime.ts'],
  store: ['contract', 'errors.ts', 'runtime.ts', 'session', 'tools'],
  codecs: ['contract', 'errors.ts', 'runtime.ts', 'tools'],
  caches: ['contract', 'errors.ts', 'runtime.ts', 'tools'],
  backends: ['contract', 'errors.ts', 'runtime.ts', 'tools'],
  adapters: [
    'contract',
    'errors.ts',
    'runtime.ts',
    'create-session-store.ts',
    'from-env.ts',
    'session',
    'store',
    'tools',
  ],
  testing: ['contract', 'errors.ts', 'runtime.ts', 'session', 'tools'],
  shutdown: ['contract', 'errors.ts', 'runtime.ts', 'tools'],
}

/** Who may import whom. */
export const importsPointInwards = (files: readonly SourceFile[]): Complaints =>
  files.flatMap((file) => {
    const from = partOf(file.path)
    if (COMPOSERS.has(from)) return []
    const allowed = MAY_IMPORT[from] ?? MAY_IMPORT[from.split('/')[0] ?? '']
    if (allowed === undefined) return [`${file.path} is in no known part of the program`]
    return filesImportedBy(file)
      .map(partOf)
      .filter((to) => to !== from && !allowed.includes(to))
      .map((to) => `${file.path} imports ${to}, which ${from} must not know`)
  })

/** The files that a file imports, also where it imports only types. */
const filesImportedBy = (file: SourceFile): readonly string[] =>
  importsOf(file.text)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(file.path), specifier).replace(/\.js$/, '.ts'))

/**
 * No file imports itself by way of others: a reader finds the file to begin with, and no module is used before it has
 * run. One complaint for each circle.
 */
export const noImportGoesInACircle = (files: readonly SourceFile[]): Complaints => {
  const imports = new Map(files.map((file) => [file.path, filesImportedBy(file)]))
  const circles: string[] = []
  const finished = new Set<string>()
  const follow = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path)
    if (start >= 0) circles.push(`${[...way.slice(start), path].join(' imports ')}`)
    if (start >= 0 || finished.has(path)) return
    for (const next of imports.get(path) ?? []) follow(next, [...way, path])
    finished.add(path)
  }
  for (const { path } of files) follow(path, [])
  return circles
}

/** Hashing, checksums and comparing are computations; everything else in Node touches the world. */
const PURE_MODULES = new Set(['node:crypto', 'node:zlib', 'node:buffer', 'node:util'])

/** `src/session` computes: no I/O and no foreign packages. */
export const sessionIsPure = (files: readonly SourceFile[]): Complaints =>
  files
    .filter((file) => partOf(file.path) === 'session')
    .flatMap((file) =>
      importsOf(file.text)
        .filter((specifier) => !specifier.startsWith('.') && !PURE_MODULES.has(specifier))
        .map((specifier) => `${file.path} imports ${specifier}: src/session does no I/O`),
    )

const CLOCKS_AND_CHANCE =
  /\b(?:Date\.now\b|new Date\(\s*\)|performance\.\w+|process\.hrtime|Math\.random|setTimeout|setInterval|getRandomValues|AbortSignal\.timeout|timers\/promises)|\bimport\s*\{[^}]*\brandom\w+[^}]*\}\s*from\s*'node:crypto'|\bcrypto\.random\w+/g

/** Where the real clock may be read. `testing` waits for real servers' clocks, which no argument can move. */
const MAY_READ_THE_CLOCK = new Set(['runtime.ts', 'testing'])

/** Time and chance come as arguments (`Runtime`), so that tests move time and repeat chance. */
export const clockAndChanceAreArguments = (files: readonly SourceFile[]): Complaints =>
  files
    .filter((file) => !MAY_READ_THE_CLOCK.has(partOf(file.path)))
    .flatMap((file) => placesOf({ path: file.path, text: codeOf(file.text) }, CLOCKS_AND_CHANCE))
    .map(({ where, found }) => `${where} uses ${found}: ask the Runtime instead`)

/** Tests and their helpers that may read the system's calendar, each with the reason. */
const MAY_READ_THE_DATE: Readonly<Record<string, string>> = {
  'test/adapters/express-cookie.test.ts': 'it moves the date',
  'test/architecture.test.ts': 'it spells out what these rules look for',
  'test/backends/postgres/cluster.ts': 'it compares the clock with that of the server',
  'test/caches/memory.test.ts': 'entries that live for a minute, whatever the date',
  'test/caches/memcached/faults.test.ts': 'entries that live for a minute, whatever the date',
  'test/caches/memcached/large.test.ts': 'entries that live for a minute, whatever the date',
  'test/caches/memcached/memjs-defects.test.ts': 'entries that live for a minute, whatever the date',
  'test/chaos/cluster.ts': 'it compares the clock with that of the server',
  'test/chaos/run.ts': 'real processes for a minute, which go by the real clock',
  'test/support/moved-calendar.mjs': 'it moves the date',
  'test/support/moved-calendar.test.ts': 'it looks whether the date is moved',
  'test/support/plain-memjs-cache.ts': 'a cache, which goes by the system unless told otherwise',
  'test/support/seed.ts': 'a number that is another in each run',
}

/** Files that may make a CouchDB backend without saying by which clock it goes, each with the reason. */
const MAY_MAKE_UNDATED_BACKENDS: Readonly<Record<string, string>> = {
  'test/backends/couchdb/backend.ts': 'it asks its callers for the clock',
  'test/backends/couchdb/options.test.ts': 'its backends are never used',
  'test/chaos/app.ts': 'a real process, which goes by the real clock',
  'test/chaos/behind.ts': 'it looks at what real processes did, which go by the real clock',
}

const IMPORT_OF_COUCHDB =
  /\bimport\s*\{(?:[^}]*[{,\s])??couchdb\b[^}]*\}\s*from\s*'[^']*src\/backends\/couchdb\/index\.js'/g

/** A test passes on any day: it chooses the date that it and the parts that it makes go by. */
export const testsChooseTheirDate = (files: readonly SourceFile[]): Complaints => [
  ...unexcused(files, /\b(?:Date\.now\b|new Date\(\s*\))/g, MAY_READ_THE_DATE).map(
    (place) => `${place}: take the time from a runtime of test/support/calendar.ts`,
  ),
  ...unexcused(files, IMPORT_OF_COUCHDB, MAY_MAKE_UNDATED_BACKENDS).map(
    (place) => `${place}: take couchdb from test/backends/couchdb/backend.js, which asks for a clock`,
  ),
]

/** What the pattern finds in files that have no excuse, and the excuses of files in which it finds nothing. */
const unexcused = (
  files: readonly SourceFile[],
  pattern: RegExp,
  excuses: Readonly<Record<string, string>>,
): Complaints =>
  files.flatMap((file) => {
    const places = placesOf({ path: file.path, text: codeOf(file.text) }, pattern)
    if (excuses[file.path] === undefined) return places.map(({ where, found }) => `${where} has ${found}`)
    return places.length > 0 ? [] : [`${file.path} needs no excuse any more`]
  })

/** What a codec is given and what a contract suite sees are the program's own values; all other errors may be Node's. */
const MAY_ASK_FOR_OWN_ERRORS = new Set(['codecs', 'testing', 'tools'])

/** An error of Node is no instance of the `Error` of a program that runs in Jest, or anywhere in `node:vm`. */
export const errorsAreKnownInEveryRealm = (files: readonly SourceFile[]): Complaints =>
  files
    .filter((file) => !MAY_ASK_FOR_OWN_ERRORS.has(partOf(file.path)))
    .flatMap((file) =>
      placesOf(
        { path: file.path, text: codeOf(file.text) },
        /\binstanceof (?:Aggregate|Range|Syntax|Type|URI)?Error\b/g,
      ),
    )
    .map(({ where, found }) => `${where} asks ${found}: ask isError of src/tools/is-error.ts`)

/** A library is silent unless asked: what it has to say goes to events and to the caller. */
export const nothingIsPrinted = (files: readonly SourceFile[]): Complaints =>
  files
    .filter((file) => partOf(file.path) !== 'cli')
    .flatMap((file) =>
      placesOf(
        { path: file.path, text: codeOf(file.text, { withoutStrings: true }) },
        /\bconsole\.\w+|process\.std(?:out|err)\b/g,
      ).map(({ where, found }) => `${where} prints with ${found}`),
    )

const EXPORTED =
  /^export (?:declare |async |abstract )*(?:const|let|function\*?|class|interface|type (?!\{)|enum|namespace)\b/gm

/** Somewhere at the top, or above one of its exports, a file says in a sentence what it is for. */
export const everyFileIsExplained = (files: readonly SourceFile[]): Complaints =>
  files.flatMap((file) => {
    const exported = [...file.text.matchAll(EXPORTED)].map((match) => file.text.slice(0, match.index))
    // A file that only passes on what others export is a contents page.
    if (exported.length === 0) return []
    const head = /^\s*\/\*\*((?:(?!\*\/)[\s\S])*)\*\//.exec(file.text)?.[1]
    const above = exported.map((text) => /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(text)?.[1])
    return [head, ...above].some(isSentence)
      ? []
      : [`${file.path} does not say what it is for, above any of its exports`]
  })

const isSentence = (comment: string | undefined): boolean =>
  comment !== undefined && /[.:!?)`]\s*(?:\n|$)/.test(comment) && comment.split(/\s+/).filter(Boolean).length > 4

/**
 * `docs/architecture.md` names each file of these folders, and no file that is not there. In the page a table belongs to
 * the folder in the first cell of its head, and each row begins with the name of a file.
 *
 * @param folders with a slash at their end, `src/store/`: all that is below them is to be named
 */
export const everyFileIsNamed = (
  files: readonly SourceFile[],
  page: SourceFile,
  folders: readonly string[],
): Complaints => {
  const isBelow = (path: string): boolean => folders.some((folder) => path.startsWith(folder))
  const named: string[] = []
  let folder: string | undefined
  for (const line of page.text.split('\n')) {
    const first = /^\| *`([^`]+)` *\|/.exec(line)?.[1]
    if (!line.startsWith('|')) folder = undefined
    else if (first?.endsWith('/') === true) folder ??= first
    else if (first !== undefined && folder !== undefined && isBelow(folder)) named.push(folder + first)
  }
  const there = new Set(files.map(({ path }) => path).filter(isBelow))
  return [
    ...[...there].filter((path) => !named.includes(path)).map((path) => `${page.path} does not name ${path}`),
    ...named.filter((path) => !there.has(path)).map((path) => `${page.path} names ${path}, which is not there`),
    ...named.filter((path, at) => named.indexOf(path) !== at).map((path) => `${page.path} names ${path} twice`),
  ]
}

const MACHINE_PATHS = /(?<![\w.$~}<-])(?:\/(?:work|root|home\/\w+|Users\/\w+)\/[\w.]|[A-Z]:\\\w)/g

/** Nothing names a folder of the machine it was written on. */
export const noMachinePaths = (files: readonly SourceFile[]): Complaints =>
  files.flatMap((file) =>
    placesOf(file, MACHINE_PATHS).map(({ where, found }) => `${where} names a path of one machine: ${found}`),
  )

const UNFINISHED =
  /\b(?:TODO|FIXME|XXX)\b|@ts-ignore|@ts-nocheck|\b(?:test|it|describe)\.(?:only|todo|skip|fails|skipIf|runIf)\b|\b(?:x|f)(?:it|describe)\(|biome-ignore(?!-?\w* [^\n]*: *\S[^\n]{8,})/g

/**
 * What may skip tests: the one helper, and the contract suites, which skip what a subject says it cannot do. And
 * this file, which spells out what it looks for.
 */
const MAY_SKIP = [/^test\/support\/(?:skip|architecture-rules)\.ts$/, /^src\/testing\/[\w-]+-contract\.ts$/]

/** Unfinished work, silenced tools and switched-off tests do not stay. */
export const nothingIsLeftUndone = (files: readonly SourceFile[]): Complaints =>
  files
    .filter((file) => !MAY_SKIP.some((pattern) => pattern.test(file.path)))
    .flatMap((file) => placesOf(file, UNFINISHED).map(({ where, found }) => `${where} has ${found}`))

export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/**
 * What is imported is declared, and what is declared is imported.
 *
 * @param excused dependencies that nothing imports, each with the reason
 */
export const dependenciesMatch = (
  files: readonly SourceFile[],
  manifest: Manifest,
  excused: Readonly<Record<string, string>>,
): Complaints => {
  const imported = new Map<string, string>()
  for (const file of files)
    for (const specifier of importsOf(file.text)) {
      const name = packageOf(specifier)
      if (name !== undefined) imported.set(name, file.path)
    }
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies }
  return [
    ...[...imported]
      .filter(([name]) => !(name in declared))
      .map(([name, path]) => `${path} imports ${name}, which package.json does not declare`),
    ...Object.keys(manifest.dependencies ?? {})
      .filter((name) => !imported.has(name) && !(name in excused))
      .map((name) => `package.json depends on ${name}, which nothing in src imports`),
    ...Object.keys(excused)
      .filter((name) => imported.has(name) || !(name in declared))
      .map((name) => `${name} needs no excuse any more`),
  ]
}
