import { readFileSync } from 'node:fs'
import { installedWith, type Lock, type LockEntry } from '../../../scripts/release-checks/lock.js'
import { held, type Row } from '../attempt.js'

/* Who slips something into what is installed. */

const lockWith = (changed: Readonly<Record<string, LockEntry>>): Lock => {
  const path = new URL('../../../package-lock.json', import.meta.url)
  const { packages } = JSON.parse(readFileSync(path, 'utf8')) as Lock
  return { packages: { ...packages, ...changed } }
}

/** Has a program of his run where somebody installs the package. */
const runsProgram = async (_: unknown, changed: Readonly<Record<string, LockEntry>>): Promise<boolean> =>
  installedWith(lockWith(changed), { peers: true }).some(
    ({ entry }) => entry.hasInstallScript === true && entry.optional !== true,
  )

/** Has other bytes installed than those that were tried. */
const exchanges = async (_: unknown, changed: Readonly<Record<string, LockEntry>>): Promise<boolean> =>
  installedWith(lockWith(changed), { peers: true }).some(
    ({ entry: { integrity = '', optional } }) => optional !== true && !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity),
  )

export const RELEASE: readonly Row[] = [
  {
    name: 'dependency',
    held: [
      held('what comes with the package is fixed by its hash', exchanges, {}, [
        'a dependency has none',
        { 'node_modules/lru-cache': { version: '11.0.0' } },
      ]),
    ],
    limits: [],
  },
  {
    name: 'release',
    held: [
      held('nothing that comes with the package has to run a program when it is installed', runsProgram, {}, [
        'a dependency runs one',
        { 'node_modules/lru-cache': { hasInstallScript: true, integrity: 'sha512-' } },
      ]),
    ],
    limits: [],
  },
]
