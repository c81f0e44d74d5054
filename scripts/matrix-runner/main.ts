/** Runs what `scripts/matrix` promises; `HELP` is the promise. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  packPackage,
  RESOLUTIONS,
  type Resolution,
  run,
  writeConsumer,
  writeProject,
} from '../../test/support/packed-package.js'
import { openGround, PROGRAMS, tryProgram } from './frameworks.js'

const HELP = `scripts/matrix [word...]

Packs the package and uses it, in temporary folders with packages from npm, under
  TypeScript 5.0, 5.4, 5.9, 6 and 7, in each moduleResolution that can find packages, with skipLibCheck off: the
    programs of test/consumer are compiled, and where code comes out that Node loads by itself, they are run
  Jest, with require and with import, and Mocha, with both
  Bun and Deno
  SvelteKit, Astro, Next, Bun and Deno, with the programs of docs/frameworks/web.md: each is built, started twice on a
    real Memcached and a real PostgreSQL, and visited
  @auth0/nextjs-auth0, which needs Next: logins and logouts over HTTP, with an Auth0 of the program's own
Prints a table in Markdown. With words, only the lines whose names begin with one of them: scripts/matrix typescript@5 jest
It takes some minutes, most of them for npm. The exit code is 1 if something failed.`

/** Types of Node that the compiler of that age can read; DefinitelyTyped supports a version for two years. */
const COMPILERS = [
  { name: 'typescript@5.0', packages: ['typescript@5.0', '@types/node@20.11'] },
  { name: 'typescript@5.4', packages: ['typescript@5.4', '@types/node@20.14'] },
  { name: 'typescript@5.9', packages: ['typescript@5.9', '@types/node@20'] },
  { name: 'typescript@6', packages: ['typescript@6', '@types/node@20'] },
  { name: 'typescript@7', packages: ['typescript@7', '@types/node@20'] },
] as const

/** With its loader of modules left to itself; Node 20.19 could otherwise `require` what is no CommonJS. */
const WITHOUT_REQUIRE_OF_ESM = process.allowedNodeEnvironmentFlags.has('--experimental-require-module')
  ? ['--no-experimental-require-module']
  : []
// Each has its own limit for a test, which a busy machine exceeds.
const LIMIT_MS = 120_000
const jest = (file: string): string[] => [
  ...['node_modules/jest/bin/jest.js', '--rootDir=.', '--json', `--testTimeout=${LIMIT_MS}`],
  `--testRegex=runners/${file.replaceAll('.', '[.]')}$`,
]
const mocha = (file: string): string[] => [
  'node_modules/mocha/bin/mocha.js',
  `--timeout=${LIMIT_MS}`,
  `runners/${file}`,
]

const RUNNERS = [
  {
    name: 'jest@30, require',
    packages: ['jest@30'],
    command: ['node', ...WITHOUT_REQUIRE_OF_ESM, ...jest('required.test.cjs')],
    says: /"numPassedTests":10,/,
  },
  {
    name: 'jest@30, import',
    packages: ['jest@30'],
    command: ['node', '--experimental-vm-modules', ...jest('imported.test.mjs')],
    says: /"numPassedTests":10,/,
  },
  {
    name: 'jest@29, require',
    packages: ['jest@29'],
    command: ['node', ...WITHOUT_REQUIRE_OF_ESM, ...jest('required.test.cjs')],
    says: /"numPassedTests":10,/,
  },
  {
    name: 'mocha@12, require',
    packages: ['mocha@12'],
    command: ['node', ...mocha('required.test.cjs')],
    says: /10 passing/,
  },
  {
    name: 'mocha@12, import',
    packages: ['mocha@12'],
    command: ['node', ...mocha('imported.test.mjs')],
    says: /10 passing/,
  },
  { name: 'bun', packages: ['bun'], command: ['node_modules/.bin/bun', 'runners/plain.mjs'], says: /plain ok/ },
  {
    name: 'deno',
    packages: ['deno'],
    command: ['node_modules/.bin/deno', 'run', '--allow-all', '--node-modules-dir=manual', 'runners/plain.mjs'],
    says: /plain ok/,
  },
  {
    name: 'nextjs-auth0@4',
    packages: ['@auth0/nextjs-auth0@4', 'next@16', 'react@19', 'react-dom@19'],
    command: ['node', 'runners/auth0.mjs'],
    says: /auth0 ok/,
  },
] as const

const COMMON = ['express@5', 'express-session@1', '@types/express@5', '@types/express-session@1'] as const

/** TypeScript 6 has node10 for those who say that they know of its end; for others it is an option like any other. */
const compilerOptionsFor = (compiler: string, way: Resolution): Readonly<Record<string, unknown>> =>
  compiler === 'typescript@6' && way === 'node10' ? { ignoreDeprecations: '6.0' } : {}

/** Whether the compiler knows the resolution, as 7 does not know node10 any more. Asked of the compiler itself. */
const hasResolution = async (at: string, way: Resolution): Promise<boolean> => {
  const name = 'empty.ts'
  writeFileSync(join(at, name), 'export const empty = true\n')
  const options = ['--noEmit', '--module', RESOLUTIONS[way].module, '--moduleResolution', way, name]
  try {
    await run('node', [TSC, ...options], at)
    return true
  } catch (error) {
    // 5108: it has been removed. 6046: there is no such value. Whatever else is wrong, the real compilation tells.
    return !/TS5108|TS6046/.test((error as Error).message)
  } finally {
    rmSync(join(at, name))
  }
}

const TSC = 'node_modules/typescript/bin/tsc'

/** Compiles the programs, and runs what Node can run of what comes out; `bundler` gives what is for bundlers. */
const compileAndRun = async (at: string, compiler: string, way: Resolution): Promise<void> => {
  await run('node', [TSC, '-p', writeProject(at, way, compilerOptionsFor(compiler, way))], at)
  const files: Readonly<Record<Resolution, readonly string[]>> = {
    node10: ['either.js', 'every-subpath.js'],
    node16: EVERY_PROGRAM,
    nodenext: EVERY_PROGRAM,
    bundler: ['esm.mjs', 'every-subpath.mjs'],
  }
  for (const file of files[way]) await run('node', [...WITHOUT_REQUIRE_OF_ESM, join('out', way, file)], at)
}
const EVERY_PROGRAM = [
  'either.js',
  'every-subpath.js',
  'esm.mjs',
  'every-subpath.mjs',
  'commonjs.cjs',
  'every-subpath-required.cjs',
]

const main = async (): Promise<void> => {
  const words = process.argv.slice(2)
  if (words.some((word) => word === '--help' || word === '-h')) return console.log(HELP)
  const isWanted = ({ name }: { readonly name: string }): boolean =>
    words.length === 0 || words.some((word) => name.startsWith(word))
  const compilers = COMPILERS.filter(isWanted)
  const runners = RUNNERS.filter(isWanted)
  const programs = PROGRAMS.filter(isWanted)
  if (compilers.length + runners.length + programs.length === 0)
    throw new Error(
      `There is no line of that name; there are: ${[...COMPILERS, ...RUNNERS, ...PROGRAMS].map(({ name }) => name).join('; ')}`,
    )

  const folder = mkdtempSync(join(tmpdir(), 'nonstick-matrix-'))
  let failures = 0
  /** Tells of a failure with what was printed, and goes on: the rest of the table is wanted all the same. */
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<'ok' | 'FAIL'> => {
    try {
      await work()
      return 'ok'
    } catch (error) {
      failures += 1
      console.error(`\nFAIL ${what}\n${error instanceof Error ? error.message : String(error)}`)
      return 'FAIL'
    }
  }

  try {
    const tarball = await packPackage(folder)
    const install = (at: string, packages: readonly string[]): Promise<string> => {
      mkdirSync(at)
      writeFileSync(join(at, 'package.json'), '{ "private": true }\n')
      return run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, ...COMMON, ...packages], at)
    }

    const ways = Object.keys(RESOLUTIONS) as Resolution[]
    const table: string[] = [`| | ${ways.join(' | ')} |`, `|---|${ways.map(() => '---|').join('')}`]
    for (const { name, packages } of compilers) {
      const at = join(folder, name)
      const cells: Record<string, string> = {}
      await attempt(name, async () => {
        await install(at, packages)
        writeConsumer(at)
        for (const way of ways) {
          cells[way] = (await hasResolution(at, way))
            ? await attempt(`${name}, ${way}`, () => compileAndRun(at, name, way))
            : 'it has none'
        }
      })
      const version = (await run('node', ['node_modules/typescript/bin/tsc', '--version'], at)).trim()
      table.push(
        `| ${version.replace('Version', 'TypeScript')} | ${ways.map((way) => cells[way] ?? 'FAIL').join(' | ')} |`,
      )
      console.error(table.at(-1))
    }
    const lines: string[] = ['| | |', '|---|---|']
    for (const { name, packages, command, says } of runners) {
      const at = join(folder, name.replace(/, | /g, '-'))
      const outcome = await attempt(name, async () => {
        await install(at, packages)
        writeConsumer(at)
        const [program, ...args] = command
        const printed = await run(program === 'node' ? program : join(at, program), args, at)
        if (!says.test(printed)) throw new Error(`It printed no ${says}:\n${printed}`)
      })
      lines.push(`| ${name} | ${outcome} |`)
      console.error(lines.at(-1))
    }
    if (programs.length > 0) {
      await using ground = await openGround()
      for (const program of programs) {
        const at = join(folder, program.name.replace(/, | /g, '-'))
        const outcome = await attempt(program.name, async () => await tryProgram(program, at, install, ground))
        lines.push(`| ${program.name} | ${outcome} |`)
        console.error(lines.at(-1))
      }
    }
    console.log(`\nNode ${process.versions.node}\n`)
    if (compilers.length > 0) console.log(`${table.join('\n')}\n`)
    if (runners.length + programs.length > 0) console.log(`${lines.join('\n')}\n`)
    process.exitCode = failures === 0 ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
