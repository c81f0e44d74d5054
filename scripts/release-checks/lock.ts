/** What `package-lock.json` says about where the packages come from, and about what they do when they are installed. */

/** An entry of `packages`, as far as it is asked here. */
export interface LockEntry {
  readonly version?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: readonly string[]
  readonly hasInstallScript?: boolean
  readonly license?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>
}

/** One package of the lock: where it lies in `node_modules`, and what is known of it. */
export interface Locked {
  readonly path: string
  readonly name: string
  readonly entry: LockEntry
}

const nameAt = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)

const lockedAt = (path: string, entry: LockEntry): Locked => ({ path, name: nameAt(path), entry })

/** All packages of the lock; the project itself is none of them. */
export const allLocked = ({ packages }: Lock): readonly Locked[] =>
  Object.entries(packages)
    .filter(([path]) => path !== '')
    .map(([path, entry]) => lockedAt(path, entry))

/** Where Node finds a package from another one's folder, or from the project's (the empty path). */
const found = ({ packages }: Lock, from: string, name: string): string | undefined => {
  for (let folder = from; ; ) {
    const path = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
    if (packages[path] !== undefined) return path
    if (folder === '') return undefined
    const above = folder.lastIndexOf('/node_modules/')
    folder = above === -1 ? '' : folder.slice(0, above)
  }
}

/**
 * What a user of the package gets: its dependencies with theirs, optional ones and peers included. The project's own
 * peers are among it where `peers` is true: a user of all parts installs them beside the package.
 *
 * @throws Error if the lock lacks a dependency that is not optional and no peer: it is then no lock of this package.
 */
export const installedWith = (lock: Lock, { peers }: { readonly peers: boolean }): readonly Locked[] => {
  const met = new Map<string, Locked>()
  const visit = (from: string, entry: LockEntry): void => {
    const wanted = {
      ...(from !== '' || peers ? entry.peerDependencies : {}),
      ...entry.optionalDependencies,
      ...entry.dependencies,
    }
    for (const name of Object.keys(wanted)) {
      const path = found(lock, from, name)
      if (path === undefined) {
        const isNeeded = entry.dependencies?.[name] !== undefined && entry.optionalDependencies?.[name] === undefined
        if (isNeeded) throw new Error(`package-lock.json has no ${name}, which ${from || 'the package'} depends on`)
        continue
      }
      const known = lock.packages[path]
      if (known === undefined || met.has(path)) continue
      met.set(path, lockedAt(path, known))
      visit(path, known)
    }
  }
  visit('', lock.packages[''] ?? {})
  return [...met.values()]
}

/** The manifest and the lock of whoever installs the package alone: without what only its development needs. */
export const withoutDevelopment = <Manifest extends { readonly devDependencies?: unknown }>(
  manifest: Manifest,
  lock: Lock,
): { readonly manifest: Omit<Manifest, 'devDependencies'>; readonly lock: Lock } => {
  const { devDependencies: _, ...rest } = manifest
  const { devDependencies: __, ...own } = lock.packages[''] ?? {}
  const kept = installedWith(lock, { peers: false }).map(({ path, entry }) => [path, entry])
  return { manifest: rest, lock: { ...lock, packages: { '': own, ...Object.fromEntries(kept) } } }
}
