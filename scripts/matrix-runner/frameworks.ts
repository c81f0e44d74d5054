/** The programs that the page about `nonstick/web` shows, installed, built and run as two processes each. */
import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { postgres } from '../../src/backends/postgres/index.js'
import { openServerDesk } from '../../test/support/desk.js'
import { run } from '../../test/support/packed-package.js'
import { visitProgram } from '../../test/support/program-visits.js'
import { freshSchema } from '../../test/support/servers.js'
import { ensureTestPrograms, freePort } from '../servers/index.js'
import { lastLines, type StartedProcess, startProcess, waitUntil } from '../servers/process.js'

const examples = fileURLToPath(new URL('../../docs/examples', import.meta.url))

export interface Program {
  readonly name: string
  /** What is copied into the folder in which it runs, from `docs/examples` on. */
  readonly source: string
  readonly packages: readonly string[]
  /** What has to be done before it is started. */
  readonly build?: readonly string[]
  /** How it is started, so that it listens at that port of 127.0.0.1. */
  start(port: number): readonly string[]
}

/** The Node that these frameworks ask for, which may be newer than the one that runs this. */
const NODE = 'node@22'
const NODE_OF_THE_PROGRAM = 'node_modules/node/bin/node'
/** In the environment of what is built and started. */
const QUIET = { ASTRO_TELEMETRY_DISABLED: '1', NEXT_TELEMETRY_DISABLED: '1', DENO_NO_UPDATE_CHECK: '1' }

export const PROGRAMS: readonly Program[] = [
  {
    name: 'sveltekit@3',
    source: 'sveltekit',
    packages: [
      NODE,
      '@sveltejs/kit@3',
      '@sveltejs/adapter-node@6',
      '@sveltejs/vite-plugin-svelte',
      'svelte@5',
      'vite@8',
    ],
    build: [NODE_OF_THE_PROGRAM, 'node_modules/vite/bin/vite.js', 'build'],
    start: () => [NODE_OF_THE_PROGRAM, 'build'],
  },
  {
    name: 'astro@7',
    source: 'astro',
    packages: [NODE, 'astro@7', '@astrojs/node@11'],
    build: [NODE_OF_THE_PROGRAM, 'node_modules/.bin/astro', 'build'],
    start: () => [NODE_OF_THE_PROGRAM, 'dist/server/entry.mjs'],
  },
  {
    name: 'next@16',
    source: 'next',
    packages: [NODE, 'next@16', 'react@19', 'react-dom@19', 'typescript@5', '@types/node@22', '@types/react@19'],
    build: [NODE_OF_THE_PROGRAM, 'node_modules/.bin/next', 'build'],
    start: (port) => [NODE_OF_THE_PROGRAM, 'node_modules/.bin/next', 'start', '-H', '127.0.0.1', '-p', String(port)],
  },
  {
    name: 'bun, serving',
    source: 'web.ts',
    packages: ['bun@1'],
    start: () => ['node_modules/.bin/bun', 'web.ts'],
  },
  {
    name: 'deno, serving',
    source: 'web.ts',
    packages: ['deno@2'],
    start: (port) => [
      ...['node_modules/.bin/deno', 'serve', '--allow-all', '--node-modules-dir=manual'],
      ...['--host=127.0.0.1', `--port=${port}`, 'web.ts'],
    ],
  },
]

/** What all programs of a run share, as their environment says it: the servers, and the key of the cookie. */
export interface Ground extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>
}

export const openGround = async (): Promise<Ground> => {
  ensureTestPrograms((sentence) => console.error(sentence))
  const desk = await openServerDesk()
  const [database, cache] = [await desk.get('postgres'), await desk.get('memcached')]
  if (database.kind === 'absent') throw new Error(database.reason)
  if (cache.kind === 'absent') throw new Error(cache.reason)
  const place = await freshSchema({ adminUrl: database.address })
  const { connectionString, schema } = place
  const backend = postgres({ connectionString, schema, migrate: true })
  await backend.setUp()
  await backend.close()
  return {
    env: {
      ...{ NONSTICK_CACHE: cache.address, NONSTICK_BACKEND: connectionString, NONSTICK_SCHEMA: schema },
      NONSTICK_NAMESPACE: `frameworks-${randomBytes(6).toString('hex')}`,
      SESSION_KEYS: randomBytes(32).toString('hex'),
    },
    [Symbol.asyncDispose]: async () => {
      await place.drop()
      await desk.close()
    },
  }
}

/**
 * Builds the program in a folder, starts it twice, and visits both. Rejects with what was printed where something fails.
 *
 * @param install puts packages into the folder, which it makes
 */
export const tryProgram = async (
  { source, packages, build, start }: Program,
  folder: string,
  install: (at: string, packages: readonly string[]) => Promise<unknown>,
  ground: Ground,
): Promise<void> => {
  await install(folder, packages)
  const manifest = join(folder, 'package.json')
  const installed = readJson(manifest)
  const from = join(examples, source)
  cpSync(from, source.endsWith('.ts') ? join(folder, source) : folder, { recursive: true })
  writeFileSync(manifest, JSON.stringify({ ...readJson(manifest), ...installed }))
  // Without its keys, and without any tier: what is built knows no credentials.
  if (build !== undefined) await run(join(folder, build[0] ?? ''), build.slice(1), folder, QUIET)

  const started: StartedProcess[] = []
  try {
    const urls: string[] = []
    const logs: string[] = []
    for (const number of [1, 2]) {
      const port = await freePort()
      const [command = '', ...args] = start(port)
      const logFile = join(folder, `log-${number}`)
      const program = await startProcess({
        command: join(folder, command),
        args,
        folder,
        logFile,
        endSignal: 'SIGTERM',
        env: { ...QUIET, ...ground.env, HOST: '127.0.0.1', PORT: String(port), NODE_ENV: 'production' },
      })
      started.push(program)
      logs.push(logFile)
      urls.push(`http://127.0.0.1:${port}`)
      await answers(urls.at(-1) ?? '', program, logFile)
    }
    await visitProgram(urls as [string, string]).catch((error: Error) => {
      throw new Error(`${error.message}\n${logs.map((file) => lastLines(file, 30)).join('\n')}`, { cause: error })
    })
  } finally {
    for (const program of started) await program.end('SIGTERM')
  }
}

const readJson = (file: string): object => JSON.parse(readFileSync(file, 'utf8')) as object

const START_MS = 120_000

/** Resolves as soon as the program answers, whatever it says. */
const answers = async (url: string, program: StartedProcess, logFile: string): Promise<void> => {
  const isUp = async (): Promise<boolean> => {
    if (program.isGone()) throw new Error(`It ended before it answered:\n${lastLines(logFile, 40)}`)
    return await fetch(url).then(
      () => true,
      () => false,
    )
  }
  await waitUntil(isUp, START_MS, () => `It did not answer:\n${lastLines(logFile, 40)}`)
}
