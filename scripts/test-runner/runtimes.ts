/** `scripts/test --runtimes`: the packed package on other runtimes, as far as npm can install them here. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { ServerDesk } from '../../test/support/desk.js'
import { packPackage, run, tool, writeConsumer, writeProject } from '../../test/support/packed-package.js'
import { freshSchema } from '../../test/support/servers.js'
import { removeFolder } from '../servers/process.js'
import { runCommand } from './command.js'
import { untilStandstill } from './patience.js'

interface Runtime {
  readonly name: string
  /** The package on npm that brings it. */
  readonly package: string
  /** Its program, in the folder in which that was installed. */
  readonly program: string
  /** What stands before a program's file. */
  readonly args: readonly string[]
}

const node = (version: string): Runtime => ({
  name: `Node ${version}`,
  package: `node@${version}`,
  program: 'node_modules/node/bin/node',
  args: [],
})

const RUNTIMES: readonly Runtime[] = [
  ...['20.19', '22', '24', '26'].map(node),
  { name: 'Bun', package: 'bun@1', program: 'node_modules/.bin/bun', args: [] },
  {
    name: 'Deno',
    package: 'deno@2',
    program: 'node_modules/.bin/deno',
    args: ['run', '--allow-all', '--node-modules-dir=manual'],
  },
]

/** The consumer programs, with what each of them prints; those of every subpath print nothing. */
const PROGRAMS: readonly (readonly [file: string, says: RegExp])[] = [
  ['out/nodenext/esm.mjs', /^esm ok$/m],
  ['out/nodenext/commonjs.cjs', /^commonjs ok$/m],
  ['out/nodenext/either.js', /^either ok$/m],
  ['out/nodenext/every-subpath.mjs', /^/],
  ['out/nodenext/every-subpath-required.cjs', /^/],
  ['both-ways.mjs', /^both ways ok$/m],
  ['runners/plain.mjs', /^plain ok$/m],
]
const SUITE = ['runners/suite.mjs', /^suite ok: \d+ rules$/m] as const
/** The suites say nothing until they are done. */
const STANDSTILL_MS = 20 * 60_000
const COMMON = ['express@5', 'express-session@1', '@types/express@5', '@types/express-session@1', '@types/node@20']

/** How one runtime did; its line is printed as soon as it is known. */
export interface RuntimeOutcome {
  readonly state: 'ok' | 'failed' | 'absent'
  readonly line: string
  /** What was printed, where something failed. */
  readonly complaint?: string
}

export interface RuntimesOptions {
  /** With what the names of the wanted ones begin, in any case; none for all. */
  readonly names: readonly string[]
  readonly desk: ServerDesk
  /** Where the logs are kept. */
  readonly evidence: string
  /** Ends what runs, and begins nothing more, when it is aborted. */
  readonly signal: AbortSignal
  readonly tell: (outcome: RuntimeOutcome) => void
}

/**
 * Runs the programs of `test/consumer` and the contract suites on each runtime: the suites on the embedded tiers and on the
 * desk's servers. A runtime that npm cannot install here is absent, and its line says why.
 */
export const tryRuntimes = async (options: RuntimesOptions): Promise<void> => {
  const { names } = options
  const isWanted = ({ name }: Runtime): boolean =>
    names.length === 0 || names.some((word) => name.toLowerCase().startsWith(word.toLowerCase()))
  const wanted = RUNTIMES.filter(isWanted)
  if (wanted.length === 0)
    throw new Error(`There is no runtime of that name; there are: ${RUNTIMES.map(({ name }) => name).join(', ')}`)
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-runtimes-'))
  try {
    const consumer = join(folder, 'consumer')
    await install(consumer, [await packPackage(folder), ...COMMON])
    writeConsumer(consumer)
    await run(process.execPath, [tool('typescript/bin/tsc'), '-p', writeProject(consumer, 'nodenext')], consumer)
    for (const runtime of wanted)
      if (!options.signal.aborted) options.tell(await tryRuntime(runtime, consumer, folder, options))
  } finally {
    await removeFolder(folder)
  }
}

const install = async (at: string, packages: readonly string[]): Promise<void> => {
  mkdirSync(at)
  // Deno takes a `.js` for CommonJS only where it is told so.
  writeFileSync(join(at, 'package.json'), '{ "private": true, "type": "commonjs" }\n')
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages], at)
}

const tryRuntime = async (
  { name, package: wanted, program, args }: Runtime,
  consumer: string,
  folder: string,
  { desk, evidence, signal }: RuntimesOptions,
): Promise<RuntimeOutcome> => {
  const at = join(folder, name.replace(' ', '-'))
  const command = join(at, program)
  let version: string
  try {
    await install(at, [wanted])
    version = (await run(command, ['--version'], at)).split('\n')[0] ?? ''
  } catch (error) {
    return { state: 'absent', line: `${name}: absent, as ${firstLine(error)}` }
  }
  const servers = await serversFor(desk)
  const failures: string[] = []
  let suite = ''
  for (const [file, says] of [...PROGRAMS, SUITE]) {
    const { ok, output } = await runCommand(command, [...args, file], {
      root: consumer,
      patience: untilStandstill(STANDSTILL_MS),
      signal,
      logFile: join(evidence, `${name} ${basename(file)}.log`),
      env: servers.env,
    })
    suite = says.exec(output)?.[0] ?? ''
    if (!ok || !says.test(output)) failures.push(`${name}, ${file}:\n${output}`)
  }
  await servers.drop()
  const titled = `${name} (${version})`
  if (failures.length > 0) return { state: 'failed', line: `${titled}: failed`, complaint: failures.join('\n') }
  const words = `${PROGRAMS.length} programs ok, ${suite} on ${servers.names.join(', ')}`
  return { state: 'ok', line: `${titled}: ${words}` }
}

/** Where the suites run beside the embedded tiers. */
const serversFor = async (
  desk: ServerDesk,
): Promise<{ readonly env: NodeJS.ProcessEnv; readonly names: readonly string[]; drop(): Promise<void> }> => {
  const [database, cache] = [await desk.get('postgres'), await desk.get('memcached')]
  const place = database.kind === 'absent' ? undefined : await freshSchema({ adminUrl: database.address })
  return {
    env: {
      ...(place === undefined ? {} : { SUITE_POSTGRES: place.connectionString }),
      ...(cache.kind === 'absent' ? {} : { SUITE_MEMCACHED: cache.address }),
    },
    names: [
      'the embedded tiers',
      ...(cache.kind === 'absent' ? [] : ['Memcached']),
      ...(place === undefined ? [] : ['PostgreSQL']),
    ],
    drop: async () => await place?.drop(),
  }
}

const firstLine = (error: unknown): string => {
  const lines = (error instanceof Error ? error.message : String(error)).split('\n')
  return lines.find((line) => /npm error (?!A complete log)/.test(line)) ?? lines[0] ?? ''
}
