//! Which kind a document is of, and so who reads it.

use super::assemble::Draft;
use super::error::{Concern, Fault, quoted};
use super::nearest::nearest;
use super::node::{Content, Node};
use super::report::Report;
use super::section::Section;
use super::{layer2vip, machine, mantle};

/// The kinds that Talos itself defines, at its 1.15 development branch of August 2026, without `Layer2VIPConfig`.
/// A Talos config is taken as it is, so they are left alone.
const TALOS: &[&str] = &[
    "BGPInstanceConfig",
    "BlackholeRouteConfig",
    "BondConfig",
    "BridgeConfig",
    "CRIBaseRuntimeSpecConfig",
    "CRICustomizationConfig",
    "ContainerConfig",
    "DHCPv4Config",
    "DHCPv6Config",
    "DiscoveryIdentityConfig",
    "DiscoveryServiceConfig",
    "DummyLinkConfig",
    "EnvironmentConfig",
    "EtcFileConfig",
    "EthernetConfig",
    "EventSinkConfig",
    "ExistingVolumeConfig",
    "ExtensionServiceConfig",
    "ExternalVolumeConfig",
    "FilesystemScrubConfig",
    "FilesystemTrimConfig",
    HCLOUD_VIP,
    "HTTPProbeConfig",
    "HostnameConfig",
    "ImageCacheConfig",
    "ImageVerificationConfig",
    "KernelModuleConfig",
    "KmsgLogConfig",
    "KubeAPIServerCAConfig",
    "KubeAPIServerConfig",
    "KubeAdmissionControlConfig",
    "KubeAggregatorCAConfig",
    "KubeAuditPolicyConfig",
    "KubeAuthenticationConfig",
    "KubeAuthorizerConfig",
    "KubeClusterConfig",
    "KubeControllerManagerConfig",
    "KubeCoreDNSConfig",
    "KubeCredentialProviderConfig",
    "KubeEtcdEncryptionConfig",
    "KubeExternalManifestConfig",
    "KubeFlannelCNIConfig",
    "KubeInlineManifestConfig",
    "KubeNetworkConfig",
    "KubeNodeConfig",
    "KubePrismConfig",
    "KubeProxyConfig",
    "KubeSchedulerConfig",
    "KubeServiceAccountConfig",
    "KubeSpanConfig",
    "KubeSpanEndpointsConfig",
    "KubeStaticPodConfig",
    "KubeTalosAPIAccessConfig",
    "KubeletConfig",
    "LVMLogicalVolumeConfig",
    "LVMVolumeGroupConfig",
    "LinkAliasConfig",
    "LinkConfig",
    "NetworkDefaultActionConfig",
    "NetworkRuleConfig",
    "OOMConfig",
    "PCIDriverRebindConfig",
    "RAIDArrayConfig",
    "RawVolumeConfig",
    "RegistryAuthConfig",
    "RegistryMirrorConfig",
    "RegistryTLSConfig",
    "ResolverConfig",
    "RoutingRuleConfig",
    "SecurityProfileConfig",
    "SideroLinkConfig",
    "StaticHostConfig",
    "SwapVolumeConfig",
    "SysctlConfig",
    "SysfsConfig",
    "TCPProbeConfig",
    "TimeSyncConfig",
    "TrustedRootsConfig",
    "UdevRulesConfig",
    "UnattendedInstallConfig",
    "UserVolumeConfig",
    "VLANConfig",
    "VRFConfig",
    "VethConfig",
    "VolumeConfig",
    "WatchdogTimerConfig",
    "WireguardConfig",
    "ZswapConfig",
];

const HCLOUD_VIP: &str = "HCloudVIPConfig";

/// Has a document read by whom its kind says.
pub(super) fn read(node: &Node, draft: &mut Draft, report: &mut Report) {
    let found = match node.content {
        Content::Mapping(_) => None,
        Content::List(_) => Some("a list"),
        // Not shown: somebody may have named the file with the password.
        Content::Scalar(_) | Content::Null => Some("a single value"),
    };
    if let Some(found) = found {
        return report.error(node.position, Fault::NotADocument { found });
    }
    let Some(document) = Section::open(node, "the document", report) else { return };
    if document.get("kind").is_none() {
        if is_machine_config(document) {
            return machine::read(document, draft, report);
        }
        return report.error(node.position, Fault::NoKind);
    }
    let kind = document.value("kind", report, |kind| Ok::<_, Fault>(kind.to_owned()));
    let Some((position, kind)) = kind else { return };
    match kind.as_str() {
        mantle::KIND => mantle::read(document.named(mantle::KIND), draft, report),
        layer2vip::KIND => layer2vip::read(document.named(layer2vip::KIND), draft, report),
        HCLOUD_VIP => report.warn(position, Concern::HCloudVipKind),
        talos if TALOS.contains(&talos) => {}
        unknown => {
            let ours = [mantle::KIND, layer2vip::KIND];
            let remedy = match nearest(unknown, ours.iter().chain(TALOS).copied()) {
                Some(meant) => format!("write {meant}"),
                None => format!("write {} or {}, or take the document away", mantle::KIND, layer2vip::KIND),
            };
            report.error(position, Fault::UnknownKind { found: quoted(unknown), remedy });
        }
    }
}

/// The older Talos machine config is the one document without a kind. Its `cluster` is a mapping: a `MantleConfig` whose kind was forgotten must not pass for one and be left alone.
fn is_machine_config(document: Section<'_>) -> bool {
    let cluster = document.get("cluster").is_some_and(|node| matches!(node.content, Content::Mapping(_)));
    document.get("machine").is_some() || cluster
}

/// Reports an apiVersion that is missing or not the one a kind has.
pub(super) fn api_version(
    document: Section<'_>,
    kind: &'static str,
    write: &'static str,
    report: &mut Report,
) {
    if document.get("apiVersion").is_none() {
        report.error(document.position, Fault::NoApiVersion { write });
    }
    document.value("apiVersion", report, |found| {
        if found == write {
            Ok(())
        } else {
            Err(Fault::WrongApiVersion { kind, found: quoted(found), write })
        }
    });
}
