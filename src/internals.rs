//! Door of the crate's own tests, benchmarks, fuzz targets, Python package and command: what they use of the
//! rooms, under the rooms' names. It is no part of the public interface and changes without notice; the rooms are
//! private, so that the compiler finds what nothing uses.
//!
//! Programs that embed the crate use [`prelude`](crate::prelude) and [`embed`](crate::embed).

pub mod actor {
    pub use crate::actor::{
        Describe, EarlierSkips, Feed, Hooks, Limits, Observation, Observer, Outcome,
        RunningTopology, Sink, SkipBudget, SkippedItem, Source, Stage, StopLatch, StopState,
        TicketCounts, Topology, TopologySnapshot, WorkerBalancer, WorkerChange, WorkerScaler,
        keep_balanced,
    };
}

pub mod augment {
    pub use crate::augment::{
        AugmentConfig, AugmentProfile, Background, CaseView, ChannelFilters, DrawnFilters,
        DrawnGamma, DrawnMixing, DrawnNoise, DrawnParams, FilterBuffers, IntensityNormalisation,
        Kernel, Matrix3, OwnFilter, PatchImages, RenderPlan, TargetVoxels, Window,
    };
}

pub mod base {
    pub use crate::base::{
        CaseError, Domain, Fault, Fingerprint, Fingerprinter, HugePageAllocator, KeyedRng, Reason,
        SampleKey, fs, raise_open_file_limit, range_text, spawn_named,
    };
}

pub mod brats {
    pub use crate::brats::{
        BUILT_IN_LAYOUTS, CaseFiles, CaseReader, ChosenScheme, DEFAULT_MAX_VOXELS, Dataset,
        DatasetDescription, Depth, Layout, NameSchemes, NiftiImage, SchemeReason, TumourGrade,
        discover_cases, discover_described_cases, examine_cases, inspect_file, inspect_folder,
        read_grid, read_labels_only, read_volume, source_grid, write_intensities, write_labels,
        write_scalars,
    };
    pub mod phantom {
        pub use crate::brats::phantom::{PhantomCase, PhantomConfig, cohort, generate_phantom};
    }
}

pub mod buffers {
    pub use crate::buffers::{BatchBuffer, BufferPool, CaseBuffers, PatchBuffer};
}

pub mod cache {
    pub use crate::cache::{
        Annotation, AnnotationVoxels, AnnotationVoxelsView, BackgroundBasis, CaseContents,
        CaseDescription, CaseMeaning, CaseOrigin, CaseStore, Clipping, ExpectedSource, Foreground,
        IntensityScale, IntensityStats, MappedAnnotation, MappedCase, ModalityRecord, OutsideLabel,
        PreprocessConfig, ResamplingRecord, SourceFile, SourceFiles, SourceState, SplitLabels,
        TissueCounts, TissueHistogram, Verify, index_foreground, prepare_in_buffers,
    };
}

pub mod cli {
    pub use crate::cli::main;
}

pub mod eval {
    pub use crate::eval::{
        ByRegion, CaseScore, CohortScore, Hd95, LesionMatching, LesionRules, ONE_EMPTY_MM,
        PostProcess, Sliding, SlidingConfig, Weighting, regions_to_labels, score_case,
        score_lesions,
    };
    #[cfg(feature = "train")]
    pub use crate::eval::{Predictor, predict_case};
    pub mod statistics {
        pub use crate::eval::statistics::holm;
        pub mod bootstrap {
            pub use crate::eval::statistics::bootstrap::ci95_of_mean;
        }
        pub mod wilcoxon {
            pub use crate::eval::statistics::wilcoxon::{Alternative, signed_rank};
        }
    }
}

#[cfg(feature = "train")]
pub mod experiment {
    pub mod config {
        pub use crate::experiment::config::{ExperimentConfig, Repetition};
    }
}

#[cfg(feature = "train")]
pub mod nets {
    pub use crate::nets::{
        ARCHITECTURES, Architecture, ArchitectureEntry, Blueprint, Cascaded, CascadedConfig,
        ConvUnit, ExportedNetwork, Learner, ModelRng, OptimiserConfig, Output, ResUNetVae,
        ResUNetVaeConfig, UNet, UNetConfig, mean_pool, upsample_trilinear, weights,
    };
    pub mod exchange {
        pub use crate::nets::exchange::{Weight, to_bytes, to_torch_bytes};
    }
    pub mod learner {
        pub use crate::nets::learner::{AVERAGE_FILE, OPTIMISER_FILE, WEIGHTS_FILE};
    }
    pub mod onnx {
        pub use crate::nets::onnx::{IMAGES, IR_VERSION, LOGITS, OPSET, encode_model};
        pub mod proto {
            pub use crate::nets::onnx::proto::{
                AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, data_type,
            };
        }
    }
    pub mod registry {
        pub use crate::nets::registry::{ArchitectureEntry, registry_entry};
    }
}

pub mod pipeline {
    pub use crate::pipeline::{
        Annotations, Arrivals, Batch, BottleneckVerdict, CaseHandle, CpuUsage, Crop, CropConfig,
        DrawnSample, Fetch, Footprint, LoaderConfig, LoaderWorkers, Normalize, OnArrival, Plan,
        PrefetchIngest, PrefetchIngestParts, ReplayedSample, Sample, SamplePlanner, WorkerPlan,
        decode_case, diagnose_beside_ingest, diagnose_run, diagnose_span, ingest, loader,
        replay_sample, stat_files, whole_case, write_sample_arrays,
    };
    pub mod augment {
        pub use crate::pipeline::augment::Augment;
    }
}

pub mod quality {
    pub use crate::quality::{
        CaseQuality, Certainty, FindingKind, ForegroundRule, QualityFinding, QualityPolicy,
    };
}

pub mod resampling {
    pub use crate::resampling::{
        GridMap, Interpolation, Resampling, resample_image, resample_labels, resample_mask,
        resample_probabilities,
    };
}

pub mod run {
    #[cfg(feature = "train")]
    pub use crate::run::{CheckpointChoice, Division, Ensemble, Member, SplitFile, config};
    pub use crate::run::{Failure, LifecycleRuntime, Session};
    #[cfg(feature = "train")]
    pub mod device {
        pub use crate::run::device::{DeviceChoice, choose_device};
    }
    pub mod tools {
        #[cfg(feature = "train")]
        pub mod device_check {
            pub use crate::run::tools::device_check::{NetworkSize, compare_with_cpu};
        }
        pub mod drain {
            pub use crate::run::tools::drain::{DrainConfig, drain_loader, prepare_dataset};
        }
        pub mod score {
            pub use crate::run::tools::score::ScoreRequest;
        }
    }
}

pub mod run_folder {
    pub use crate::run_folder::{DatasetLock, EVENTS, EventLog};
    pub mod manifest {
        pub use crate::run_folder::manifest::{CheckpointManifest, MANIFEST, STATE};
    }
}

pub mod telemetry {
    pub use crate::telemetry::{
        Exporter, MAX_CONNECTIONS, Metric, MetricKind, MetricsAddress, Recorder, Scrape, Unit,
        catalog,
    };
}

#[cfg(feature = "train")]
pub mod train {
    pub use crate::train::{
        DiceBceLoss, Plateau, Schedule, SchedulePosition, TrainerConfig, region_targets,
    };
}

pub mod volume {
    pub use crate::volume::{
        Affine, Box3, Case, CaseId, Dims, Fold, LabelScheme, Modality, ModalitySet, PatientId,
        Region, RegionProbabilities, RegionSet, RunChannels, SourceGrid, Split, SplitShares,
        Targets, Temperature, Voxels, cross_validation, label, most_likely_label, partition_cohort,
        patients_in_two_parts, probabilities_of_label, quantise_probability,
    };
}
