/** Runs what `scripts/release` promises; `HELP` is the promise. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  brokenPromises,
  LARGEST_TARBALL,
  packPackage,
  publintComplaints,
  run,
  sizeOf,
  typesReport,
  unwantedFiles,
} from '../../test/support/packed-package.js'
import { auditVerdict } from './audit.js'
import { type Bill, complaintsAboutBill } from './bill.js'
import { changelogVerdict } from './changelog.js'
import { licencesIn, licencesVerdict } from './licences.js'
import { installedWith, type Lock, withoutDevelopment } from './lock.js'
import { failed, ok, some, type Verdict } from './verdict.js'
import { publishedVerdict, type Viewed, versionVerdict } from './version.js'

const HELP = `Usage: scripts/release [--dry-run]

Looks whether this checkout can be published: changelog, version, registry, clean tree, contents of the package, its
types, the licences of what comes with it, its bill of materials, and npm audit. Prints a line for each, which begins with

  ok          it is so
  failed      it is not; what to do stands below
  not asked   nobody could tell, such as a registry that does not answer; what to do stands below

Ends with 1 if one failed. It works in a temporary folder, and takes about a minute.

  --dry-run   leaves nothing behind
  (without)   if nothing failed, leaves in .release/ what is to be published: the package, its bill of materials, and the
              hashes of both; and says how to go on
  --help      this text

It publishes nothing and sets no tag. docs/releasing.md tells how a release is published, with provenance.`

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface Manifest {
  readonly name: string
  readonly version: string
  readonly devDependencies?: unknown
}

/** A command of which also a failure says something. Its words about the network go nowhere: they name hosts. */
const asked = (command: string, args: readonly string[], cwd: string): Promise<Viewed> =>
  new Promise((resolve) => {
    const env = { ...process.env, npm_config_fetch_retries: '0', npm_config_fetch_timeout: '30000' }
    execFile(command, args, { cwd, env, maxBuffer: 2 ** 24 }, (error, stdout) =>
      resolve({ failed: error !== null, stdout }),
    )
  })

const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '')

const treeVerdict = async (): Promise<Verdict> => {
  const changed = linesOf(await run('git', ['status', '--porcelain'], root))
  if (changed.length === 0) return ok('nothing is changed that is not committed')
  return failed(`not committed: ${some(changed.map((line) => line.slice(3)))}`, 'Commit it, or put it away')
}

const contentsVerdict = async (tarball: string, folder: string): Promise<Verdict> => {
  await run('tar', ['-xzf', tarball, '-C', folder], folder)
  const unpacked = join(folder, 'package')
  const [missing, unwanted, size] = [brokenPromises(unpacked), unwantedFiles(unpacked), sizeOf(tarball)]
  const todo = 'Look at "files" in package.json, and at test/package.test.ts'
  if (missing.length > 0) return failed(`not as "files" in package.json says: ${some(missing)}`, todo)
  if (unwanted.length > 0) return failed(`nobody needs ${some(unwanted)}`, todo)
  if (size >= LARGEST_TARBALL) return failed(`${size} bytes are more than ${LARGEST_TARBALL}`, todo)
  return ok(`${Math.ceil(size / 1000)} kB, with what it promises and nothing else`)
}

const typesVerdict = async (tarball: string, folder: string): Promise<Verdict> => {
  const complaints = await publintComplaints(tarball)
  const todo = 'scripts/test test/package.test.ts says more'
  if (complaints.length > 0) return failed(`publint complains: ${some(complaints)}`, todo)
  try {
    const { analysis } = await typesReport(tarball, folder)
    return ok(`the types of ${Object.keys(analysis.entrypoints).length} entry points are found as the code is`)
  } catch {
    return failed('the types of an entry point are not found as its code is', todo)
  }
}

/** A folder that npm takes for the package without what its development needs. */
const bareProject = (folder: string, manifest: Manifest, lock: Lock): string => {
  // npm takes the folder's name for the package's.
  const project = join(folder, 'bare', manifest.name)
  mkdirSync(project, { recursive: true })
  const bare = withoutDevelopment(manifest, lock)
  writeFileSync(join(project, 'package.json'), JSON.stringify(bare.manifest))
  writeFileSync(join(project, 'package-lock.json'), JSON.stringify(bare.lock))
  return project
}

const sumsOf = (files: readonly string[]): string =>
  files.map((file) => `${createHash('sha256').update(readFileSync(file)).digest('hex')}  ${basename(file)}\n`).join('')

/** Makes what is to be published, and looks at it; calls `say` with each verdict, as it comes. */
const check = async (folder: string, say: (name: string, verdict: Verdict) => void): Promise<readonly string[]> => {
  const manifest = JSON.parse(read('package.json')) as Manifest
  const lock = JSON.parse(read('package-lock.json')) as Lock
  const { name, version } = manifest
  const packages = installedWith(lock, { peers: false })
  const project = bareProject(folder, manifest, lock)

  say('changelog', changelogVerdict(read('CHANGELOG.md'), version))
  say('version', versionVerdict(version, linesOf(await run('git', ['tag', '--list'], root))))
  say('registry', publishedVerdict(name, version, await asked('npm', ['view', name, 'versions', '--json'], project)))
  say('clean tree', await treeVerdict())

  const tarball = await packPackage(folder)
  say('contents', await contentsVerdict(tarball, folder))
  say('types', await typesVerdict(tarball, folder))
  say('licences', licencesVerdict(packages, licencesIn(root)))

  const bill = join(folder, `${name}-${version}.cdx.json`)
  writeFileSync(bill, await run('npm', ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'], project))
  const complaints = complaintsAboutBill(JSON.parse(readFileSync(bill, 'utf8')) as Bill, manifest, packages)
  say(
    'bill of materials',
    complaints.length === 0
      ? ok(`CycloneDX, with the ${packages.length} packages that come with it`)
      : failed(some(complaints), 'Look at scripts/release-checks/bill.ts, and at what npm sbom prints'),
  )
  const audit = await asked('npm', ['audit', '--omit=dev', '--json', '--package-lock-only'], project)
  say('npm audit', auditVerdict(audit.stdout))

  const sums = join(folder, 'SHA256SUMS')
  writeFileSync(sums, sumsOf([tarball, bill]))
  return [tarball, bill, sums]
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } })
  if (values.help === true) {
    console.log(HELP)
    return 0
  }
  const counts = { ok: 0, failed: 0, 'not asked': 0 }
  const say = (name: string, { state, words, todo }: Verdict): void => {
    counts[state] += 1
    console.log(`${state.padEnd(11)} ${name.padEnd(18)} ${words}`)
    if (todo !== undefined) console.log(`${' '.repeat(31)}${todo}.`)
  }
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-release-'))
  try {
    const files = await check(folder, say)
    console.log(`\n${counts.ok} ok, ${counts.failed} failed, ${counts['not asked']} not asked`)
    if (counts.failed > 0) return 1
    if (values['dry-run'] !== true) {
      mkdirSync(join(root, '.release'), { recursive: true })
      for (const file of files) copyFileSync(file, join(root, '.release', basename(file)))
      console.log(`.release/ has ${files.map((file) => basename(file)).join(', ')}.`)
    }
    console.log('Nothing was published. docs/releasing.md tells how to go on.')
    return 0
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    const isUsage = (error as { code?: unknown }).code?.toString().startsWith('ERR_PARSE_ARGS') === true
    console.error(isUsage ? `${(error as Error).message}\n\n${HELP}` : error)
    process.exitCode = isUsage ? 2 : 1
  },
)
