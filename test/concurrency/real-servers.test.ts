import { findServers, openCluster } from './cluster.js'
import { races } from './races.js'

const servers = await findServers()
const found = 'shared' in servers ? () => openCluster(servers) : servers

races('three processes on one Memcached and one PostgreSQL', found, 1)
